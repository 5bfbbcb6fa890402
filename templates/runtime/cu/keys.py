"""The key of a call: a digest of its function, the version of its code, and its arguments."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import importlib.metadata
import inspect
import pathlib
import struct
import sys
import textwrap
import types
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from .codec import File, Ref

MAX_DEPTH = 100
REGISTERED: dict[type, Callable[[Any], Any]] = {}


class Unhashable(TypeError):
    """A value that no key can be made of; the message names the argument, and where in it."""


def key_for(type_: type, function: Callable[[Any], Any]) -> None:
    """Say how values of a type of yours enter the key: `function(value)` is what tells them apart."""
    REGISTERED[type_] = function


def call_key(name: str, version: str, arguments: Mapping[str, object]) -> str:
    """64 hex digits; equal exactly for the same function, code and arguments."""
    parts = [digest(value, f"argument {parameter!r}") for parameter, value in sorted(arguments.items())]
    fields = [name, version, *(text for pair in zip(sorted(arguments), parts, strict=True) for text in pair)]
    hashed = hashlib.sha256(b"cu-call-1")
    for field in fields:
        add(hashed, b"s", field.encode("utf-8", "surrogatepass"))
    return hashed.hexdigest()


def digest(value: object, where: str) -> str:
    """The digest of a value's canonical form: every value tagged by its type and preceded by its length."""
    hashed = hashlib.sha256()
    feed(hashed, value, where, 0)
    return hashed.hexdigest()


def add(hashed: Any, tag: bytes, data: bytes | memoryview) -> None:
    hashed.update(tag + struct.pack(">Q", len(data)))
    hashed.update(data)


def feed(hashed: Any, value: Any, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Unhashable(f"{where}: nested deeper than {MAX_DEPTH}, or contains itself")
    registered = next((REGISTERED[base] for base in type(value).__mro__ if base in REGISTERED), None)
    if registered is not None:
        add(hashed, b"U", qualified(type(value)))
        return feed(hashed, registered(value), f"{where} (as key_for says)", depth + 1)
    scalar = SCALARS.get(type(value))
    if scalar is not None:
        tag, encode = scalar
        return add(hashed, tag, encode(value))
    if type(value) in (list, tuple):
        hashed.update((b"l" if type(value) is list else b"t") + struct.pack(">Q", len(value)))
        for index, item in enumerate(value):
            feed(hashed, item, f"{where}[{index}]", depth + 1)
        return None
    if type(value) in (set, frozenset):
        tag = b"e" if type(value) is set else b"z"
        return feed_sorted(hashed, tag, [sub(item, f"{where} element", depth) for item in value])
    if type(value) is dict:
        pairs = [
            sub(k, f"{where} key {k!r:.40}", depth) + sub(v, f"{where}[{k!r:.40}]", depth) for k, v in value.items()
        ]
        return feed_sorted(hashed, b"d", pairs)
    if isinstance(value, File):
        return add(hashed, b"F", value.sha256.encode())
    if isinstance(value, Ref):
        return add(hashed, b"R", value.key.encode())
    if isinstance(value, enum.Enum):
        add(hashed, b"E", qualified(type(value)))
        return add(hashed, b"s", value.name.encode() if value.name else str(value.value).encode())
    if isinstance(value, pathlib.PurePath):
        return add(hashed, b"P", str(value).encode("utf-8", "surrogatepass"))
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return feed_array(hashed, numpy, value, where)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        add(hashed, b"D", qualified(type(value)))
        for field in dataclasses.fields(value):
            add(hashed, b"s", field.name.encode())
            feed(hashed, getattr(value, field.name), f"{where}.{field.name}", depth + 1)
        return None
    raise Unhashable(
        f"{where}: a {type(value).__module__}.{type(value).__qualname__} cannot be part of a cache key; "
        "say cu.key_for(type, function) what tells such values apart, or name the argument in ignore_args"
    )


def sub(value: object, where: str, depth: int) -> bytes:
    hashed = hashlib.sha256()
    feed(hashed, value, where, depth + 1)
    return hashed.digest()


def feed_sorted(hashed: Any, tag: bytes, digests: list[bytes]) -> None:
    add(hashed, tag, b"".join(sorted(digests)))


def feed_array(hashed: Any, numpy: Any, value: Any, where: str) -> None:
    if isinstance(value, numpy.ndarray) and type(value) not in (numpy.ndarray, numpy.memmap):
        # A masked array, for one, is more than its cells.
        raise Unhashable(
            f"{where}: a {type(value).__qualname__} cannot be part of a cache key; make it a plain array with "
            "numpy.asarray, or say cu.key_for(type, function) what tells such values apart"
        )
    if value.dtype.hasobject:
        raise Unhashable(f"{where}: an array of Python objects cannot be part of a cache key; give it a plain dtype")
    described = repr((type(value) is numpy.ndarray or isinstance(value, numpy.ndarray), value.dtype.descr, value.shape))
    add(hashed, b"A", described.encode())
    contiguous = numpy.ascontiguousarray(value).reshape(-1).view(numpy.uint8) if value.size else b""
    add(hashed, b"b", memoryview(contiguous))


def qualified(type_: type) -> bytes:
    return f"{type_.__module__}.{type_.__qualname__}".encode()


def float_bytes(value: float) -> bytes:
    # Every NaN counts as the same; -0.0 and 0.0 differ.
    return b"nan" if value != value else struct.pack(">d", value)


SCALARS: dict[type, tuple[bytes, Callable[[Any], bytes]]] = {
    type(None): (b"n", lambda _: b""),
    bool: (b"o", lambda value: b"1" if value else b"0"),
    int: (b"i", lambda value: str(value).encode() if abs(value) < 1 << 1024 else hex(value).encode()),
    float: (b"f", float_bytes),
    complex: (b"c", lambda value: float_bytes(value.real) + b"," + float_bytes(value.imag)),
    str: (b"s", lambda value: value.encode("utf-8", "surrogatepass")),
    bytes: (b"b", bytes),
    bytearray: (b"y", bytes),
    memoryview: (b"m", bytes),
    datetime.datetime: (b"T", lambda value: f"{value.isoformat()} {value.tzinfo} {value.fold}".encode()),
    datetime.date: (b"W", lambda value: value.isoformat().encode()),
    datetime.time: (b"H", lambda value: f"{value.isoformat()} {value.tzinfo} {value.fold}".encode()),
    datetime.timedelta: (b"I", lambda value: repr((value.days, value.seconds, value.microseconds)).encode()),
    decimal.Decimal: (b"N", lambda value: repr(value.as_tuple()).encode()),
    fractions.Fraction: (b"Q", lambda value: f"{value.numerator}/{value.denominator}".encode()),
    uuid.UUID: (b"u", lambda value: value.bytes),
}


def code_version(function: Callable[..., Any], stop: Callable[[object], bool] | None = None) -> str:
    """16 hex digits of the code of a function and of what it names in the same top-level package.

    Comments, docstrings and layout do not count. `stop` says of which named objects only the name counts.
    """
    plain = inspect.unwrap(function)
    if not has_source(plain):
        return packaged_version(plain)
    walk = CodeWalk(package_of(plain), stop or (lambda _: False))
    walk.visit(plain)
    return hashlib.sha256("\n".join(walk.seen.values()).encode()).hexdigest()[:16]


class CodeWalk:
    """Collects the code that a function's meaning depends on, each object once, in the order in which it is named."""

    def __init__(self, package: str, stop: Callable[[object], bool]) -> None:
        self.package = package
        self.stop = stop
        self.seen: dict[str, str] = {}

    def visit(self, thing: Any) -> None:
        name = f"{thing.__module__}.{thing.__qualname__}"
        if name in self.seen:
            return
        self.seen[name] = name
        tree = parsed(thing)
        self.seen[name] = f"{name} {ast.dump(tree)}"
        for path in sorted(names_in(tree)):
            self.follow(name, path, thing)
        for default in (
            *(getattr(thing, "__defaults__", None) or ()),
            *(getattr(thing, "__kwdefaults__", None) or {}).values(),
        ):
            self.value(f"{name} default", default)

    def follow(self, owner: str, path: tuple[str, ...], thing: Any) -> None:
        """What a dotted name means where `thing` was defined."""
        found = lookup(thing, path[0])
        for part in path[1:]:
            if not isinstance(found, types.ModuleType):
                break
            found = getattr(found, part, MISSING)
        if found is not MISSING:
            self.value(f"{owner} {'.'.join(path)}", found)

    def value(self, label: str, found: Any) -> None:
        if self.stop(found):
            self.seen[label] = f"{label} = {getattr(found, 'name', found)}"
            return
        found = inspect.unwrap(found) if callable(found) else found
        if isinstance(found, types.ModuleType):
            return
        if isinstance(found, type | types.FunctionType | types.MethodType):
            if package_of(found) == self.package and has_source(found):
                self.visit(found.__func__ if isinstance(found, types.MethodType) else found)
            return
        if isinstance(found, types.BuiltinFunctionType) or callable(found):
            return
        try:
            self.seen[label] = f"{label} = {digest(found, label)}"
        except TypeError:
            # Loggers, locks, connections: what they hold is not code, and no constant.
            return


MISSING = object()


def lookup(thing: Any, name: str) -> Any:
    if isinstance(thing, types.FunctionType):
        closure = dict(zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=False))
        if name in closure:
            try:
                return closure[name].cell_contents
            except ValueError:
                return MISSING
        return thing.__globals__.get(name, MISSING)
    module = sys.modules.get(thing.__module__)
    found = getattr(module, name, MISSING)
    return MISSING if hasattr(builtins, name) and found is MISSING else found


def names_in(tree: ast.AST) -> set[tuple[str, ...]]:
    """Every name, with the attributes that follow it: ("math", "pi")."""
    found: set[tuple[str, ...]] = set()
    for node in ast.walk(tree):
        parts: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            found.add((inner.id, *reversed(parts)))
    return found


def parsed(thing: Any) -> ast.AST:
    """Its syntax tree without docstrings, decorators of cu, and positions."""
    lines, _ = inspect.getsourcelines(thing)
    source = textwrap.dedent("".join(lines))
    try:
        tree: ast.AST = ast.parse(source)
    except SyntaxError:
        # A lambda in the middle of an expression: its byte code is what there is.
        code = thing.__code__
        return ast.parse(repr((code.co_code.hex(), [str(one) for one in code.co_consts], code.co_names)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.decorator_list = [one for one in node.decorator_list if not is_ours(one, thing)]
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def is_ours(decorator: ast.expr, thing: Any) -> bool:
    """Whether a decorator is `task` or `call`: other retries are no other results."""
    named = decorator.func if isinstance(decorator, ast.Call) else decorator
    root = named
    while isinstance(root, ast.Attribute):
        root = root.value
    if not isinstance(root, ast.Name):
        return False
    found = lookup(thing, root.id)
    origin = found.__name__ if isinstance(found, types.ModuleType) else getattr(found, "__module__", "") or ""
    return origin == "cu" or origin.startswith("cu.")


@functools.cache
def has_source(thing: Any) -> bool:
    try:
        return bool(inspect.getsourcelines(thing)[0])
    except (OSError, TypeError):
        return False


def package_of(thing: Any) -> str:
    return (getattr(thing, "__module__", None) or "").partition(".")[0]


def packaged_version(function: Any) -> str:
    """Of a function without source, the version of the package that it came with."""
    package = package_of(function)
    if package in sys.stdlib_module_names or package == "builtins":
        return hashlib.sha256(f"python {sys.version_info[:3]}".encode()).hexdigest()[:16]
    for name in importlib.metadata.packages_distributions().get(package, []):
        return hashlib.sha256(f"{name} {importlib.metadata.version(name)}".encode()).hexdigest()[:16]
    raise TypeError(f"{function!r} has neither source nor a package with a version: give version= by hand")
