"""Values as bytes: exact, compact, and safe to read from strangers."""

from __future__ import annotations

import base64
import contextlib
import contextvars
import datetime
import decimal
import fractions
import hashlib
import hmac
import io
import json
import math
import pickle
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgpack

MAX_BYTES = 1 << 31
MAX_DEPTH = 100
SHOWN_ARRAY_BYTES = 1 << 20
Codec = Literal["json", "msgpack", "npy", "bytes", "file", "pickle"]

current_store: contextvars.ContextVar[Any] = contextvars.ContextVar("cu_store", default=None)
current_pins: contextvars.ContextVar[contextlib.ExitStack | None] = contextvars.ContextVar("cu_pins", default=None)
_process_pins = contextlib.ExitStack()
_local: dict[str, Path] = {}
"""Where the files that `File.of` made in this process lie."""


@dataclass(frozen=True)
class File:
    """A file as argument or result: its content by SHA-256, and a name for people. It carries no path."""

    sha256: str
    size: int
    name: str = ""

    @staticmethod
    def of(path: str | Path, name: str = "") -> File:
        """A file of this machine; its content is taken into the storage when it is returned or passed on."""
        place = Path(path)
        hashed = hashlib.sha256()
        with place.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                hashed.update(chunk)
        _local[hashed.hexdigest()] = place
        return File(hashed.hexdigest(), place.stat().st_size, name or place.name)

    @property
    def path(self) -> Path:
        """A local copy, not to be changed; it stays while the task runs."""
        place = _local.get(self.sha256)
        if place is not None and place.exists():
            return place
        store = current_store.get()
        if store is None:
            raise RuntimeError(f"the file {self.name or self.sha256[:12]} is in the storage, and none is open here")
        pins = current_pins.get() or _process_pins
        found: Path = pins.enter_context(store.local(self.sha256))
        return found

    def open(self) -> BinaryIO:
        return self.path.open("rb")

    def read_bytes(self) -> bytes:
        return self.path.read_bytes()


@dataclass(frozen=True)
class Ref:
    """The result of the call with this key."""

    key: str


@dataclass(frozen=True)
class Encoded:
    """A result ready for the storage: `data`, or a `file` whose content is there already."""

    codec: Codec
    data: bytes | None
    file: File | None
    media_type: str


def visit(value: Any, found: list[File], depth: int = 0) -> None:
    if isinstance(value, File):
        found.append(value)
    elif isinstance(value, dict) and depth < MAX_DEPTH:
        for item in value.values():
            visit(item, found, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset) and depth < MAX_DEPTH:
        for item in value:
            visit(item, found, depth + 1)


def files_in(value: object) -> set[str]:
    """The content digests of all files within a value."""
    found: list[File] = []
    visit(value, found)
    return {file.sha256 for file in found}


def unstored(value: object) -> dict[str, Path]:
    """Files within a value that were made in this process, and where they lie."""
    return {sha256: _local[sha256] for sha256 in files_in(value) if sha256 in _local}


def pack(value: object) -> bytes:
    """msgpack with an extension for every type that it lacks; TypeError for what has none."""
    return dump(wrap(value, "value", 0))


def dump(plain: object) -> bytes:
    return bytes(msgpack.packb(plain, use_bin_type=True, strict_types=True, unicode_errors="surrogatepass"))


def unpack(data: bytes) -> Any:
    """The reverse of `pack`; ValueError for anything that `pack` did not write."""
    try:
        return msgpack.unpackb(
            data,
            ext_hook=unwrap,
            raw=False,
            strict_map_key=False,
            unicode_errors="surrogatepass",
            max_ext_len=len(data),
            max_str_len=len(data),
            max_bin_len=len(data),
            max_array_len=len(data),
            max_map_len=len(data),
        )
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"not a packed value: {error}") from error


def ext(code: int, plain: object) -> msgpack.ExtType:
    return msgpack.ExtType(code, dump(plain))


def wrap(value: Any, where: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise TypeError(f"{where}: nested deeper than {MAX_DEPTH}, or contains itself")
    kind = type(value)
    if value is None or kind in (bool, float, str, bytes):
        return value
    if kind is int:
        return value if -(1 << 63) <= value < 1 << 64 else ext(1, format(value, "x"))
    if kind is list:
        return [wrap(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
    if kind is dict:
        if all(type(name) is str for name in value):
            return {name: wrap(item, f"{where}[{name!r}]", depth + 1) for name, item in value.items()}
        return ext(2, [[wrap(name, where, depth + 1), wrap(item, where, depth + 1)] for name, item in value.items()])
    for code, type_, spread, _ in EXTENSIONS:
        if kind is type_:
            return ext(code, wrap(spread(value), where, depth + 1))
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return msgpack.ExtType(20 if isinstance(value, numpy.ndarray) else 21, npy(value, where))
    raise TypeError(
        f"{where}: a {kind.__module__}.{kind.__qualname__} cannot be sent; pass numbers, text, lists, dicts, arrays or "
        "files, or give the deployment a secret PICKLE_KEY"
    )


def unwrap(code: int, data: bytes) -> Any:
    if code in (20, 21):
        import numpy

        loaded = numpy.load(io.BytesIO(data), allow_pickle=False)
        return loaded if code == 20 else loaded[()]
    value: Any = unpack(data)
    if code == 1:
        return int(value, 16)
    if code == 2:
        return {freeze(name): item for name, item in value}
    for known, _, _, build in EXTENSIONS:
        if code == known:
            return build(value)
    raise ValueError(f"unknown extension {code}")


def freeze(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


EXTENSIONS: list[tuple[int, type, Callable[[Any], Any], Callable[[Any], Any]]] = [
    (3, tuple, list, tuple),
    (4, set, list, set),
    (5, frozenset, list, frozenset),
    (6, complex, lambda value: [value.real, value.imag], lambda parts: complex(*parts)),
    (7, bytearray, bytes, bytearray),
    (8, datetime.datetime, lambda value: value.isoformat(), datetime.datetime.fromisoformat),
    (9, datetime.date, lambda value: value.isoformat(), datetime.date.fromisoformat),
    (10, datetime.time, lambda value: value.isoformat(), datetime.time.fromisoformat),
    (
        11,
        datetime.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda parts: datetime.timedelta(*parts),
    ),
    (12, decimal.Decimal, str, decimal.Decimal),
    (
        13,
        fractions.Fraction,
        lambda value: [value.numerator, value.denominator],
        lambda parts: fractions.Fraction(*parts),
    ),
    (14, uuid.UUID, lambda value: value.bytes, lambda data: uuid.UUID(bytes=data)),
    (15, File, lambda value: [value.sha256, value.size, value.name], lambda parts: file_of(*parts)),
    (16, Ref, lambda value: value.key, lambda key: Ref(checked(key))),
]


def file_of(sha256: object, size: object, name: object) -> File:
    if not isinstance(size, int) or not isinstance(name, str):
        raise ValueError("not a file")
    return File(checked(sha256), size, name)


def checked(digest: object) -> str:
    """64 hex digits, or a ValueError: nothing else may come near a path."""
    if not isinstance(digest, str) or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise ValueError(f"{digest!r:.80} is not a SHA-256 of 64 hex digits")
    return digest


def npy(value: Any, where: str) -> bytes:
    import numpy

    if value.dtype.hasobject:
        raise TypeError(f"{where}: an array of Python objects cannot be sent; give it a plain dtype")
    buffer = io.BytesIO()
    numpy.save(buffer, numpy.asarray(value), allow_pickle=False)
    return buffer.getvalue()


def encode(value: Any, *, pickle_key: bytes | None = None) -> Encoded:
    """The plainest form that gives back exactly this value."""
    if isinstance(value, File):
        return Encoded("file", None, value, media_type_of(value.name))
    if type(value) is bytes:
        return Encoded("bytes", value, None, "application/octet-stream")
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and type(value) is numpy.ndarray and not value.dtype.hasobject:
        return Encoded("npy", npy(value, "the result"), None, "application/x-npy")
    if is_json(value):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return Encoded("json", text.encode(), None, "application/json")
    try:
        return Encoded("msgpack", pack(value), None, "application/msgpack")
    except TypeError as error:
        if pickle_key is None:
            raise TypeError(f"the result cannot be kept: {error}") from None
    data = pickle.dumps(value, protocol=5)
    return Encoded("pickle", hmac.digest(pickle_key, data, "sha256") + data, None, "application/octet-stream")


def decode(codec: str, data: bytes, *, pickle_key: bytes | None = None) -> Any:
    """The value that `encode` was given; ValueError when the bytes are not what they should be."""
    if codec == "json":
        return json.loads(data)
    if codec == "bytes":
        return data
    if codec == "msgpack":
        return unpack(data)
    if codec == "npy":
        import numpy

        return numpy.load(io.BytesIO(data), allow_pickle=False)
    if codec == "pickle":
        if pickle_key is None:
            raise ValueError("a pickled result needs the secret PICKLE_KEY that it was signed with")
        if not hmac.compare_digest(data[:32], hmac.digest(pickle_key, data[32:], "sha256")):
            raise ValueError("a pickled result is not signed with this deployment's PICKLE_KEY; it is not loaded")
        return pickle.loads(data[32:])
    raise ValueError(f"unknown codec {codec!r}")


def is_json(value: Any, depth: int = 0) -> bool:
    """Whether JSON gives back exactly this value."""
    kind = type(value)
    if value is None or kind is bool or kind is int:
        return True
    if kind is str:
        return not any(0xD800 <= ord(letter) < 0xE000 for letter in value) if not value.isascii() else True
    if kind is float:
        return math.isfinite(value)
    if depth > MAX_DEPTH:
        return False
    if kind is list:
        return all(is_json(item, depth + 1) for item in value)
    # A "$file" of the user's own must not come back as a file.
    return kind is dict and all(
        type(name) is str and not name.startswith("$") and is_json(item, depth + 1) for name, item in value.items()
    )


def media_type_of(name: str) -> str:
    import mimetypes

    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def to_json(value: Any) -> Any:
    """A value as an HTTP answer shows it; TypeError for what has no such form."""
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, float):
        return {"$float": repr(value)}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((to_json(item) for item in value), key=repr)
    if isinstance(value, dict):
        return {
            name if isinstance(name, str) else json.dumps(to_json(name)): to_json(item) for name, item in value.items()
        }
    if isinstance(value, bytes | bytearray):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, File):
        return {"$file": value.sha256, "size": value.size, "name": value.name}
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal | fractions.Fraction | uuid.UUID):
        return str(value)
    if isinstance(value, complex):
        return {"$complex": [value.real, value.imag]}
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return to_json(value.item())
    if numpy is not None and isinstance(value, numpy.ndarray) and value.nbytes <= SHOWN_ARRAY_BYTES:
        return {"$array": to_json(value.tolist()), "dtype": value.dtype.str, "shape": list(value.shape)}
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} has no form in JSON")


def from_json(value: Any) -> Any:
    """The value that a request's JSON stands for; ValueError for a form that is not right."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    for mark, build in FORMS:
        if mark in value:
            return build(value)
    strange = next((name for name in value if name.startswith("$")), None)
    if strange is not None:
        raise ValueError(f"{strange!r} is not a form of a value; there are {', '.join(mark for mark, _ in FORMS)}")
    return {name: from_json(item) for name, item in value.items()}


def bytes_from(form: dict[str, Any]) -> bytes:
    return base64.b64decode(form["$bytes"], validate=True)


def array_from(form: dict[str, Any]) -> Any:
    import numpy

    array = numpy.asarray(form["$array"], dtype=numpy.dtype(str(form["dtype"])) if "dtype" in form else None)
    if array.dtype.hasobject:
        raise ValueError("$array is ragged, or has a dtype of Python objects")
    return array.reshape([int(length) for length in form["shape"]]) if "shape" in form else array


def complex_from(form: dict[str, Any]) -> complex:
    real, imaginary = form["$complex"]
    return complex(real, imaginary)


FORMS: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("$file", lambda form: file_of(form["$file"], form.get("size", 0), form.get("name", ""))),
    ("$bytes", bytes_from),
    ("$array", array_from),
    ("$float", lambda form: float(form["$float"])),
    ("$complex", complex_from),
]
