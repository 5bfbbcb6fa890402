"""What the webserver knows of the user's functions: made at image build, so that it never imports them."""

from __future__ import annotations

import base64
import functools
import inspect
import json
import re
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
from jsonschema import Draft202012Validator

from . import codec, keys
from .codec import File
from .config import ConfigError
from .ledger import NewJob

FORMAT = 1
FILE_SCHEMA = {"type": "string", "format": "binary", "description": 'a file, or {"$file": SHA256} of an uploaded one'}
ARRAY_SCHEMA = {"type": "array", "items": {}, "description": 'numbers, or {"$array": ...}, or an uploaded .npy file'}


class ArgumentErrors(ValueError):
    """Arguments that do not fit; `errors` has a (parameter, message) for each."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {message}" for name, message in errors))
        self.errors = errors


@dataclass(frozen=True)
class Parameter:
    name: str
    schema: Mapping[str, Any]
    required: bool
    default: Any
    packed: str
    doc: str
    is_file: bool

    @functools.cached_property
    def default_value(self) -> Any:
        return codec.unpack(base64.b64decode(self.packed))

    @functools.cached_property
    def validator(self) -> Draft202012Validator:
        return Draft202012Validator(dict(self.schema))

    def check(self, value: Any) -> tuple[Any, str | None]:
        """The value as it enters the key, and what is wrong with it."""
        if self.is_file:
            return (value, None) if isinstance(value, File) else (value, 'expected a file, such as {"$file": SHA256}')
        kind = self.schema.get("type")
        if kind == "number" and type(value) is int:
            return float(value), None
        if not is_json(value):
            # Bytes, arrays and files within a value: the worker checks them against the annotation.
            is_scalar = kind in ("integer", "number", "string", "boolean", "object")
            is_foreign = is_scalar and self.schema.get("format") not in ("binary", "byte")
            return value, f"expected {kind}" if is_foreign else None
        problem = next(iter(self.validator.iter_errors(value)), None)
        if problem is None:
            return value, None
        where = "".join(f"[{part!r}]" for part in problem.absolute_path)
        return value, f"{where} {problem.message}".strip()


@dataclass(frozen=True)
class Function:
    """A published or internal function, as far as it can be known without its code."""

    name: str
    doc: str
    summary: str
    kind: str
    public: bool
    scope: str
    serve: str
    queue: str
    priority: int
    timeout: float | None
    retries: int
    resources: Mapping[str, float]
    limits: Mapping[str, int]
    version: str
    cache: bool
    keep: float | None
    ignore_args: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    returns: Mapping[str, Any]
    accepts_extra: bool

    @functools.cached_property
    def by_name(self) -> Mapping[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters}

    def bind(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """All arguments after defaults; ArgumentErrors names each that is unknown, missing or of a wrong type."""
        errors: list[tuple[str, str]] = []
        for name in values:
            if name not in self.by_name and not self.accepts_extra:
                known = ", ".join(self.by_name) or "no arguments"
                errors.append((name, f"{self.name} has no such argument; it takes {known}"))
        arguments: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.name in values:
                arguments[parameter.name], problem = parameter.check(values[parameter.name])
                if problem is not None:
                    errors.append((parameter.name, problem))
            elif parameter.required:
                errors.append((parameter.name, "missing"))
            else:
                arguments[parameter.name] = parameter.default_value
        if errors:
            raise ArgumentErrors(errors)
        return {**arguments, **{name: value for name, value in values.items() if name not in arguments}}

    def key(self, arguments: Mapping[str, Any]) -> str:
        counted = {name: value for name, value in arguments.items() if name not in self.ignore_args}
        return keys.call_key(self.name, self.version, counted)

    def job(self, arguments: Mapping[str, Any], packed: bytes, owner: str = "") -> NewJob:
        """`packed`: the arguments as `codec.pack` has them, or a reference to a blob that holds that."""
        key = self.key(arguments)
        if not self.cache:
            from .api import uncached_key

            key = uncached_key(key)
        return NewJob(
            name=self.name,
            version=self.version,
            key=key,
            arguments=packed,
            queue=self.queue,
            priority=self.priority,
            timeout=self.timeout,
            retries=self.retries,
            resources=self.resources,
            limits=self.limits,
            is_call=self.kind == "call",
            owner=owner,
        )


@dataclass(frozen=True)
class Manifest:
    title: str
    description: str
    functions: Mapping[str, Function]

    @property
    def public(self) -> list[Function]:
        return [function for function in self.functions.values() if function.public]


def load_manifest(path: Path) -> Manifest:
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(
            f"no manifest at {path.absolute()}: the Dockerfile makes it with `RUN python -m cu manifest`"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the manifest {path.absolute()}: {error}; build the image anew") from error
    if data.get("format") != FORMAT:
        raise ConfigError(f"the manifest {path.absolute()} has format {data.get('format')}: build the image anew")
    functions = {}
    for name, fields in data["functions"].items():
        parameters = tuple(Parameter(**parameter) for parameter in fields["parameters"])
        ignored = tuple(fields["ignore_args"])
        functions[name] = Function(**{**fields, "parameters": parameters, "ignore_args": ignored})
    return Manifest(data["title"], data["description"], functions)


def make_manifest(tasks: Mapping[str, Any], title: str, description: str) -> dict[str, Any]:
    """The manifest of decorated functions; a function that cannot be published as declared is a ConfigError."""
    return {
        "format": FORMAT,
        "title": title,
        "description": description,
        "functions": {name: describe(task) for name, task in tasks.items()},
    }


def describe(task: Any) -> dict[str, Any]:
    options = task.options
    doc = inspect.getdoc(task.function) or ""
    hints = annotations_of(task)
    texts = parameter_texts(doc)
    parameters = [
        describe_parameter(task, parameter, hints.get(parameter.name, Any), texts.get(parameter.name, ""))
        for parameter in task.signature.parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    return {
        "name": task.name,
        "doc": doc,
        "summary": doc.strip().split("\n\n")[0].replace("\n", " "),
        "kind": "call" if options.is_call else "task",
        "public": options.public,
        "scope": options.scope,
        "serve": options.serve,
        "queue": options.queue,
        "priority": options.priority,
        "timeout": options.timeout,
        "retries": options.retries,
        "resources": dict(options.resources),
        "limits": dict(options.limits),
        "version": task.version,
        "cache": options.cache,
        "keep": options.keep,
        "ignore_args": list(options.ignore_args),
        "parameters": parameters,
        "returns": schema_of(hints.get("return", Any)),
        "accepts_extra": any(one.kind is one.VAR_KEYWORD for one in task.signature.parameters.values()),
    }


def describe_parameter(task: Any, parameter: inspect.Parameter, hint: Any, text: str) -> dict[str, Any]:
    is_required = parameter.default is parameter.empty
    packed, shown = "", None
    if not is_required:
        try:
            packed = base64.b64encode(codec.pack(parameter.default)).decode()
            shown = codec.to_json(parameter.default)
        except (TypeError, ValueError) as error:
            if task.options.public:
                raise ConfigError(
                    f"{task.name} is public, but the default of its argument {parameter.name} cannot be sent: {error}; "
                    "use None, and put the default into the body"
                ) from error
    return {
        "name": parameter.name,
        "schema": schema_of(hint, parameter.default if not is_required else None),
        "required": is_required,
        "default": shown,
        "packed": packed,
        "doc": text,
        "is_file": hint is File,
    }


def annotations_of(task: Any) -> dict[str, Any]:
    """Resolved annotations; those of other people's code may name what is not importable, and are left out."""
    try:
        return typing.get_type_hints(task.function)
    except Exception:
        return {}


def schema_of(hint: Any, default: Any = None) -> dict[str, Any]:
    """JSON Schema of an annotation; of a default where there is none; {} allows anything."""
    if hint is Any and type(default) in (bool, int, float, str):
        # An int as default does not keep a float out.
        hint = {int: float | int, float: float}.get(type(default), type(default))
    if hint is File:
        return dict(FILE_SCHEMA)
    if is_array(hint):
        return dict(ARRAY_SCHEMA)
    if hint is Any or hint is inspect.Parameter.empty:
        return {}
    try:
        return adapter_for(hint).json_schema()
    except Exception:
        # A type of the user's own: no schema says what it takes, the annotation does, on the worker.
        return {}


@functools.lru_cache(maxsize=1024)
def adapter_for(hint: Any) -> pydantic.TypeAdapter[Any]:
    if isinstance(hint, type) and (issubclass(hint, pydantic.BaseModel) or hasattr(hint, "__dataclass_fields__")):
        return pydantic.TypeAdapter(hint)
    return pydantic.TypeAdapter(hint, config=pydantic.ConfigDict(arbitrary_types_allowed=True))


def convert(task: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as the annotations want them: what came as JSON becomes tuples, enums, dataclasses, arrays."""
    from .api import Node

    hints = hints_of(task)
    values: dict[str, Any] = {}
    errors: list[tuple[str, str]] = []
    for name, value in arguments.items():
        hint = hints.get(name, Any)
        if isinstance(value, Node) or hint is Any or type(value) is hint:
            values[name] = value
        elif is_array(hint):
            values[name] = to_array(value)
        else:
            try:
                values[name] = adapter_for(hint).validate_python(value)
            except pydantic.ValidationError as error:
                errors.append((name, error.errors()[0]["msg"]))
            except Exception:
                values[name] = value
    if errors:
        raise ArgumentErrors(errors)
    return values


@functools.lru_cache(maxsize=4096)
def hints_of(task: Any) -> dict[str, Any]:
    return annotations_of(task)


def is_array(hint: Any) -> bool:
    numpy: Any = sys.modules.get("numpy")
    origin = typing.get_origin(hint) or hint
    return numpy is not None and isinstance(origin, type) and issubclass(origin, numpy.ndarray)


def to_array(value: Any) -> Any:
    """An array of what JSON or an uploaded .npy file gave."""
    numpy: Any = sys.modules["numpy"]
    if isinstance(value, File):
        with value.open() as stream:
            return numpy.load(stream, allow_pickle=False)
    return value if isinstance(value, numpy.ndarray) else numpy.asarray(value)


def is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(is_json(item) for item in value.values())
    if isinstance(value, list):
        return all(is_json(item) for item in value)
    return value is None or isinstance(value, str | int | float | bool)


def parameter_texts(doc: str) -> dict[str, str]:
    """What a docstring says of each parameter, in the ways of Google, NumPy and Sphinx."""
    texts = {name: " ".join(text.split()) for name, text in re.findall(r":param (?:\w+ )?(\w+): (.*)", doc)}
    google = re.search(r"^(?:Args|Arguments|Parameters):\n((?:[ \t]+.*\n?|\n)+)", doc, re.M)
    if google is not None:
        found = re.findall(r"^[ \t]+\*{0,2}(\w+)[^:\n]*: *(.+(?:\n(?![ \t]+\w[^:\n]*:).+)*)", google[1], re.M)
        texts.update({name: " ".join(text.split()) for name, text in found})
    numpy = re.search(r"^Parameters\n-+\n((?:.*\n?)+?)(?:^\w+\n-+|\Z)", doc, re.M)
    if numpy is not None:
        found = re.findall(r"^(\w+)[^\n]*\n((?:[ \t]+.*\n?)+)", numpy[1], re.M)
        texts.update({name: " ".join(text.split()) for name, text in found})
    plain = re.findall(r"^(\w+): (\S.*)$", doc, re.M)
    return {**dict(plain), **texts}
