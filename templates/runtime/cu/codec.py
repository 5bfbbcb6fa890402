"""Values as bytes: exact, compact, and safe to read from strangers."""

from __future__ import annotations

import ast
import base64
import contextlib
import contextvars
import dataclasses
import datetime
import decimal
import fractions
import hashlib
import hmac
import io
import json
import math
import mimetypes
import pickle
import sys
import uuid
import weakref
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgpack

MAX_BYTES = 1 << 31
MAX_DEPTH = 100
SHOWN_ARRAY_BYTES = 1 << 20
# Of plain numbers, text, times: none that holds objects, and none of a package that adds kinds to numpy.
ARRAY_KINDS = "biufcSUmMV"
Codec = Literal["json", "msgpack", "npy", "bytes", "file", "pickle"]

current_store: contextvars.ContextVar[Any] = contextvars.ContextVar("cu_store", default=None)
current_pins: contextvars.ContextVar[contextlib.ExitStack | None] = contextvars.ContextVar("cu_pins", default=None)
_process_pins = contextlib.ExitStack()
_pinned: weakref.WeakKeyDictionary[contextlib.ExitStack, dict[str, Path]] = weakref.WeakKeyDictionary()
_local: dict[str, tuple[Path, tuple[int, ...]]] = {}
"""Where the files that `File.of` made in this process lie, and the stamp that tells whether they were changed since."""


@dataclass(frozen=True)
class File:
    """A file as argument or result: its content by SHA-256, and a name for people. It carries no path."""

    sha256: str
    size: int
    name: str = ""

    @staticmethod
    def of(path: str | Path, name: str = "") -> File:
        """A file of this machine; its content is taken into the storage when it is returned or passed on."""
        place = Path(path).absolute()
        stamp = stamp_of(place)
        with place.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
        _local[sha256] = (place, stamp)
        return File(sha256, size, name or place.name)

    @property
    def path(self) -> Path:
        """A local copy, not to be changed; it stays while the task runs, outside of a task while the process does."""
        place = local_path(self.sha256)
        if place is not None:
            return place
        store = current_store.get()
        if store is None:
            raise RuntimeError(
                f"the file {self.name or self.sha256[:12]} is in the storage, and none is open here: read it within a "
                "task; in a thread of your own, run that with contextvars.copy_context().run"
            )
        pins = current_pins.get() or _process_pins
        if pins not in _pinned:
            _pinned[pins] = {}
            pins.callback(_pinned[pins].clear)
        if self.sha256 not in _pinned[pins]:
            _pinned[pins][self.sha256] = pins.enter_context(store.local(self.sha256))
        return _pinned[pins][self.sha256]

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


def stamp_of(path: Path) -> tuple[int, ...]:
    known = path.stat()
    return known.st_ino, known.st_size, known.st_mtime_ns


def local_path(sha256: str) -> Path | None:
    """Where `File.of` found this content, if it is still there unchanged."""
    place, stamp = _local.get(sha256, (None, ()))
    with contextlib.suppress(OSError):
        if place is not None and stamp_of(place) == stamp:
            return place
    return None


def files_in(value: object) -> set[str]:
    """The content digests of all files within a value, in dicts, lists, tuples, sets and dataclasses."""
    found: set[str] = set()
    seen: dict[int, object] = {}
    pending = [value]
    while pending:
        one: Any = pending.pop()
        if isinstance(one, File):
            found.add(one.sha256)
        elif id(one) in seen:
            continue
        elif isinstance(one, dict):
            pending += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            pending += [] if FLAT.issuperset(map(type, one)) else one
        elif dataclasses.is_dataclass(one) and not isinstance(one, type):
            pending += [getattr(one, field.name, None) for field in dataclasses.fields(one)]
        else:
            continue
        seen[id(one)] = one
    return found


def unstored(value: object) -> dict[str, Path]:
    """Files within a value that were made in this process, and where they lie; ValueError when one is lost."""
    store = current_store.get()
    found: dict[str, Path] = {}
    for sha256 in files_in(value) & _local.keys():
        place = local_path(sha256)
        if place is not None:
            found[sha256] = place
        elif store is not None and not store.has(sha256):
            raise ValueError(
                f"{_local[sha256][0]} was changed or removed after File.of had read it, before it was in the storage; "
                "write every file under a name of its own, and leave it until the call is made or the task has ended"
            )
    return found


def stored(sha256: str) -> None:
    """The storage has this content now: its copy counts, not the file that it was made of."""
    _local.pop(sha256, None)


def pack(value: object) -> bytes:
    """msgpack with an extension for every type that it lacks; TypeError for what has none."""
    return packed(value, "value")


def packed(value: object, where: str) -> bytes:
    data = dump(wrap(value, where, 0))
    if len(data) > MAX_BYTES:
        raise TypeError(f"{where}: {len(data)} bytes are more than the {MAX_BYTES} that can be sent; use a File")
    return data


def dump(plain: object) -> bytes:
    return bytes(
        msgpack.packb(plain, use_bin_type=True, strict_types=True, unicode_errors="surrogatepass", default=big)
    )


def load(data: bytes, **options: object) -> Any:
    return msgpack.unpackb(data, raw=False, strict_map_key=False, unicode_errors="surrogatepass", **options)


def unpack(data: bytes) -> Any:
    """The reverse of `pack`; ValueError for anything that `pack` did not write."""
    size = len(data)
    if size > MAX_BYTES:
        raise ValueError(f"{size} bytes are more than the {MAX_BYTES} of a packed value")
    try:
        # A header may promise more than there is, and memory would be taken for it: so look through them all first.
        scout = msgpack.Unpacker(max_buffer_size=max(size, 1))
        scout.feed(data)
        scout.skip()
        return build(load(data, ext_hook=unwrap, max_array_len=size, max_map_len=size, max_ext_len=size), 0)
    except Exception as error:
        raise ValueError(f"not a packed value: {error or type(error).__name__}") from error


@dataclass(frozen=True)
class Mark:
    """First in a list, it says what the list stands for. So nothing nests in an extension, and depth is easy to bound."""

    code: int


CONTAINERS: dict[type, tuple[int, Callable[[list[Any]], Any]]] = {
    dict: (2, lambda items: dict(zip(items[::2], items[1::2], strict=True))),
    tuple: (3, tuple),
    set: (4, set),
    frozenset: (5, frozenset),
}
COLLECT = dict(CONTAINERS.values())
FLAT = frozenset({type(None), bool, int, float, str, bytes})
NESTED = frozenset({list, dict, Mark})


def wrap(value: Any, where: Any, depth: int) -> Any:
    kind = type(value)
    if kind in FLAT:
        return value
    if depth > MAX_DEPTH:
        raise TypeError(f"{place_in(where)}: nested deeper than {MAX_DEPTH}, or contains itself")
    if kind is dict:
        if not FLAT.issuperset(map(type, value)):
            pairs = [(wrap(k, where, depth + 1), wrap(v, (where, IN, k), depth + 1)) for k, v in value.items()]
            return [msgpack.ExtType(2, b""), *(one for pair in pairs for one in pair)]
        if FLAT.issuperset(map(type, value.values())):
            return value
        return {k: wrap(v, (where, IN, k), depth + 1) for k, v in value.items()}
    if kind is list or kind in CONTAINERS:
        items: list[Any] = list(value)
        if not FLAT.issuperset(map(type, items)):
            items = [wrap(item, (where, IN, index), depth + 1) for index, item in enumerate(items)]
        return items if kind is list else [msgpack.ExtType(CONTAINERS[kind][0], b""), *items]
    try:
        return extension(value, kind)
    except TypeError as error:
        raise TypeError(f"{place_in(where)}: {error}") from None


def build(plain: Any, depth: int) -> Any:
    if type(plain) not in NESTED:
        return plain
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if type(plain) is dict:
        if not NESTED.isdisjoint(map(type, plain)):
            raise ValueError("a misplaced mark")
        if NESTED.isdisjoint(map(type, plain.values())):
            return plain
        return {name: build(item, depth + 1) for name, item in plain.items()}
    if type(plain) is Mark:
        raise ValueError("a misplaced mark")
    if NESTED.isdisjoint(map(type, plain)):
        return plain
    if type(plain[0]) is Mark:
        return COLLECT[plain[0].code]([build(item, depth + 1) for item in plain[1:]])
    return [build(item, depth + 1) for item in plain]


IN = "[{!r:.40}]"


def place_in(where: Any) -> str:
    """Where something is in a value, of a chain of (outer place, format, index): such a chain costs little to make."""
    steps: list[str] = []
    while isinstance(where, tuple):
        where, form, step = where
        steps.append(form.format(step))
    return str(where) + "".join(reversed(steps))


def big(value: object) -> msgpack.ExtType:
    if type(value) is not int:
        raise AssertionError(f"{type(value)} was not wrapped")
    return msgpack.ExtType(1, dump([value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)]))


def extension(value: Any, kind: type) -> msgpack.ExtType:
    leaf = LEAVES.get(kind)
    if leaf is not None:
        return msgpack.ExtType(leaf.code, dump(leaf.fields(value)))
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.str_ | numpy.bytes_):
        # An array would lose zeros at the end.
        return msgpack.ExtType(22, dump([value.item()]))
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return msgpack.ExtType(20 if isinstance(value, numpy.ndarray) else 21, to_npy(value))
    raise TypeError(
        f"a {kind.__module__}.{kind.__qualname__} cannot be sent; use numbers, text, bytes, dates, lists, dicts, sets, "
        "numpy arrays or cu.File"
    )


def unwrap(code: int, data: bytes) -> Any:
    if code in COLLECT and not data:
        return Mark(code)
    if code in (20, 21):
        array = from_npy(data)
        return array if code == 20 else array[()]
    fields = load(data, max_array_len=16, max_map_len=0)
    if code == 22:
        import numpy

        return numpy.str_(fields[0]) if isinstance(fields[0], str) else numpy.bytes_(fields[0])
    leaf = next((leaf for leaf in LEAVES.values() if leaf.code == code), None)
    if leaf is None or len(fields) != len(leaf.kinds):
        raise ValueError(f"unknown extension {code}")
    if any(kind is not object and type(field) is not kind for field, kind in zip(fields, leaf.kinds, strict=True)):
        raise ValueError(f"extension {code} has fields of other types")
    return leaf.build(*fields)


def zone_of(zone: datetime.tzinfo | None) -> str | list[Any] | None:
    """A time zone as its key, or as its offset in microseconds and its name; TypeError for another kind of zone."""
    if zone is None:
        return None
    if type(zone) is datetime.timezone:
        return [zone.utcoffset(None) // datetime.timedelta(microseconds=1), *zone.__getinitargs__()[1:]]  # type: ignore[attr-defined]
    if type(zone) is zoneinfo.ZoneInfo and zone.key is not None:
        return zone.key
    raise TypeError(
        f"a time zone of {type(zone).__module__} has no exact form; use zoneinfo.ZoneInfo or datetime.timezone"
    )


def to_zone(form: Any) -> datetime.tzinfo | None:
    if form is None:
        return None
    if isinstance(form, str):
        return zoneinfo.ZoneInfo(form)
    return datetime.timezone(datetime.timedelta(microseconds=form[0]), *form[1:])


def time_fields(value: datetime.datetime | datetime.time) -> list[Any]:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, zone_of(value.tzinfo)]


@dataclass(frozen=True)
class Leaf:
    """A type as an extension: its fields, what types they have to have, and how they make the value again."""

    code: int
    fields: Callable[[Any], list[Any]]
    kinds: tuple[type, ...]
    build: Callable[..., Any]


def bytes_of(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def int_of(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


LEAVES: dict[type, Leaf] = {
    int: Leaf(1, lambda value: [bytes_of(value)], (bytes,), int_of),
    complex: Leaf(6, lambda value: [value.real, value.imag], (float, float), complex),
    bytearray: Leaf(7, lambda value: [bytes(value)], (bytes,), bytearray),
    datetime.datetime: Leaf(
        8,
        lambda value: [value.year, value.month, value.day, *time_fields(value)],
        (int,) * 8 + (object,),
        lambda *parts: datetime.datetime(*parts[:7]).replace(fold=parts[7], tzinfo=to_zone(parts[8])),
    ),
    datetime.date: Leaf(9, lambda value: [value.year, value.month, value.day], (int,) * 3, datetime.date),
    datetime.time: Leaf(
        10,
        time_fields,
        (int,) * 5 + (object,),
        lambda *parts: datetime.time(*parts[:4]).replace(fold=parts[4], tzinfo=to_zone(parts[5])),
    ),
    datetime.timedelta: Leaf(
        11, lambda value: [value.days, value.seconds, value.microseconds], (int,) * 3, datetime.timedelta
    ),
    decimal.Decimal: Leaf(12, lambda value: [str(value)], (str,), decimal.Decimal),
    fractions.Fraction: Leaf(
        13,
        lambda value: [bytes_of(value.numerator), bytes_of(value.denominator)],
        (bytes, bytes),
        lambda above, below: fractions.Fraction(int_of(above), int_of(below)),
    ),
    uuid.UUID: Leaf(14, lambda value: [value.bytes], (bytes,), lambda data: uuid.UUID(bytes=data)),
    File: Leaf(
        15, lambda value: [value.sha256, value.size, value.name], (str, int, str), lambda *parts: file_of(*parts)
    ),
    Ref: Leaf(16, lambda value: [value.key], (str,), lambda key: Ref(checked(key))),
}


def file_of(sha256: object, size: object, name: object) -> File:
    if type(size) is not int or size < 0 or not isinstance(name, str):
        raise ValueError("a file has a size in bytes, and its name is text")
    return File(checked(sha256), size, name)


def checked(digest: object) -> str:
    """64 hex digits, or a ValueError: nothing else may come near a path."""
    if not isinstance(digest, str) or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise ValueError(f"{digest!r:.80} is not a SHA-256 of 64 hex digits")
    return digest


def to_npy(value: Any) -> bytes:
    """An array as a .npy file (https://numpy.org/neps/nep-0001-npy-format.html); TypeError if that is not exact."""
    import numpy

    array = numpy.asarray(value)
    if isinstance(value, numpy.ndarray) and type(value) not in (numpy.ndarray, numpy.memmap):
        raise TypeError(f"a {type(value).__qualname__} cannot be sent; make it a plain array with numpy.asarray")
    if array.dtype.hasobject or array.dtype.kind not in ARRAY_KINDS or not is_exact(array.dtype):
        raise TypeError(f"an array of {array.dtype} cannot be sent; give it a plain dtype")
    buffer = io.BytesIO()
    numpy.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def is_exact(dtype: Any) -> bool:
    """Whether a .npy file gives back this dtype; overlapping fields, for one, it does not."""
    import numpy

    try:
        return bool(numpy.lib.format.descr_to_dtype(numpy.lib.format.dtype_to_descr(dtype)) == dtype)
    except (ValueError, TypeError):
        return False


def from_npy(data: bytes) -> Any:
    """The reverse; takes no memory for a shape that the header claims and the data does not have."""
    try:
        import numpy

        if data[:6] != b"\x93NUMPY" or data[6] not in (1, 2, 3):
            raise ValueError("it begins otherwise")
        begin = 10 if data[6] == 1 else 12
        length = int.from_bytes(data[8:begin], "little")
        if length > 10_000:
            raise ValueError("its header is too long")
        header = ast.literal_eval(data[begin : begin + length].decode("utf-8" if data[6] == 3 else "latin-1").strip())
        dtype = numpy.lib.format.descr_to_dtype(header["descr"])
        shape = header["shape"]
        if dtype.hasobject or not all(type(one) is int and one >= 0 for one in shape):
            raise ValueError("it has objects or a strange shape")
        if math.prod(shape) * dtype.itemsize != len(data) - begin - length:
            raise ValueError("it has not as much data as its shape says")
        order: Literal["F", "C"] = "F" if header["fortran_order"] else "C"
        view = numpy.ndarray(shape, dtype, buffer=data, offset=begin + length, order=order)
        return view.copy(order=order)
    except Exception as error:
        raise ValueError(f"not a .npy array: {error or type(error).__name__}") from error


def encode(value: Any, *, pickle_key: bytes | None = None) -> Encoded:
    """The plainest form that gives back exactly this value."""
    if isinstance(value, File):
        return Encoded("file", None, value, media_type_of(value.name))
    if type(value) is bytes:
        return Encoded("bytes", value, None, "application/octet-stream")
    if is_json(value):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return Encoded("json", text.encode(), None, "application/json")
    numpy: Any = sys.modules.get("numpy")
    try:
        if numpy is not None and type(value) is numpy.ndarray:
            return Encoded("npy", to_npy(value), None, "application/x-npy")
        return Encoded("msgpack", packed(value, "the result"), None, "application/msgpack")
    except TypeError as error:
        if not pickle_key:
            raise TypeError(f"{error}; or switch on pickle: give the deployment a secret PICKLE_KEY") from None
    try:
        data = pickle.dumps(value, protocol=5)
    except Exception as error:
        raise TypeError(f"the result cannot be kept: pickle says {error}") from error
    return Encoded("pickle", hmac.digest(pickle_key, data, "sha256") + data, None, "application/octet-stream")


def decode(codec: str, data: bytes, *, pickle_key: bytes | None = None) -> Any:
    """The value that `encode` was given; ValueError when the bytes are not what they should be."""
    if codec == "json":
        try:
            return json.loads(data)
        except RecursionError as error:
            raise ValueError("JSON that is nested too deeply") from error
    if codec == "bytes":
        return data
    if codec == "msgpack":
        return unpack(data)
    if codec == "npy":
        return from_npy(data)
    if codec == "pickle":
        if not pickle_key:
            raise ValueError("a pickled result needs the secret PICKLE_KEY that it was signed with")
        if not hmac.compare_digest(data[:32], hmac.digest(pickle_key, data[32:], "sha256")):
            raise ValueError("a pickled result is not signed with this deployment's PICKLE_KEY; it is not loaded")
        return pickle.loads(data[32:])
    raise ValueError(f"unknown codec {codec!r}")


def is_json(value: Any, depth: int = 0) -> bool:
    """Whether JSON gives back exactly this value."""
    kind = type(value)
    if value is None or kind is bool:
        return True
    if kind is int:
        # Longer ones may be too long for Python to read (sys.set_int_max_str_digits).
        return bool(-(1 << 63) <= value < 1 << 64)
    if kind is str:
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    if kind is float:
        return math.isfinite(value)
    if depth > MAX_DEPTH:
        return False
    if kind is list:
        return all(is_json(item, depth + 1) for item in value)
    # A "$file" of the user's own must not come back as a file.
    return kind is dict and all(
        type(name) is str and not name.startswith("$") and is_json(name) and is_json(item, depth + 1)
        for name, item in value.items()
    )


def media_type_of(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def to_json(value: Any) -> Any:
    """A value as an HTTP answer shows it; TypeError for what has no such form."""
    if isinstance(value, int) and value.bit_length() > 10_000:
        raise TypeError("an integer that long has no form in JSON")
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, float):
        return {"$float": repr(float(value))}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((to_json(item) for item in value), key=repr)
    if isinstance(value, dict):
        return shown_dict(value)
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
        return {"$complex": [to_json(value.real), to_json(value.imag)]}
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return shown_array(numpy, value)
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} has no form in JSON")


def shown_dict(value: dict[Any, Any]) -> dict[str, Any]:
    shown = {name if isinstance(name, str) else json.dumps(to_json(name)): to_json(v) for name, v in value.items()}
    if len(shown) < len(value) or not FORMS.keys().isdisjoint(shown):
        raise TypeError("a dict whose keys look the same in JSON, or like a form of it, has no form in JSON")
    return shown


def shown_array(numpy: Any, value: Any) -> Any:
    """A scalar as a number or text; a small array as nested lists, with times as text and durations as integers."""
    if value.dtype.kind not in ARRAY_KINDS[:-1] or value.dtype.char in "gG" or isinstance(value, numpy.ma.MaskedArray):
        raise TypeError(f"numpy's {value.dtype} has no form in JSON")
    if value.nbytes > SHOWN_ARRAY_BYTES:
        raise TypeError(f"an array of {value.nbytes} bytes is too large for JSON")
    plain = numpy.datetime_as_string(value) if value.dtype.kind == "M" else value
    plain = plain.astype("int64") if value.dtype.kind == "m" else plain
    shown = to_json(plain.tolist())
    if isinstance(value, numpy.generic):
        return shown
    return {"$array": shown, "dtype": value.dtype.str, "shape": list(value.shape)}


def from_json(value: Any, depth: int = 0) -> Any:
    """The value that a request's JSON stands for; ValueError for a form that is not right."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, list):
        return [from_json(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    marks = [name for name in value if name.startswith("$")]
    if not marks:
        return {name: from_json(item, depth + 1) for name, item in value.items()}
    if marks[0] not in FORMS:
        raise ValueError(f"{marks[0]!r} is not a form of a value; there are {', '.join(FORMS)}")
    optional, make = FORMS[marks[0]]
    strange = value.keys() - {marks[0], *optional}
    if strange:
        raise ValueError(f"a {marks[0]} has no {min(strange)!r}")
    try:
        return make(value[marks[0]], value)
    except Exception as error:
        raise ValueError(f"not a right {marks[0]}: {error}") from error


def exactly(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r:.40} is not a {kind.__name__}")
    return value


def array_from(nested: Any, form: dict[str, Any]) -> Any:
    import numpy

    array = numpy.asarray(from_json(nested), dtype=object)
    dtype = numpy.dtype(exactly(str, form["dtype"])) if "dtype" in form else None
    if dtype is None:
        if any(isinstance(item, str | bytes) for item in array.flat):
            raise ValueError("an array of text needs a dtype")
        array = numpy.asarray(array.tolist())
    elif dtype.kind not in ARRAY_KINDS[:-1]:
        raise ValueError(f"the dtype {dtype} has no form in JSON")
    elif array.size * dtype.itemsize > max(SHOWN_ARRAY_BYTES, 64 * array.size):
        # Text takes the room of the longest in every cell: a short request could ask for all memory.
        raise ValueError(f"{array.size} cells of {dtype} are too large for JSON")
    else:
        array = array.astype(dtype)
    if array.dtype.hasobject:
        raise ValueError("its rows differ in length, or it holds other than numbers and text")
    return array.reshape([exactly(int, length) for length in form["shape"]]) if "shape" in form else array


def complex_from(parts: Any, _: object) -> complex:
    real, imaginary = from_json(parts)
    return complex(float(real), float(imaginary))


FORMS: dict[str, tuple[tuple[str, ...], Callable[[Any, dict[str, Any]], Any]]] = {
    # `location` is where an answer said that it can be fetched: it may be sent back, and says nothing.
    "$file": (
        ("size", "name", "location"),
        lambda sha256, form: file_of(sha256, form.get("size", 0), form.get("name", "")),
    ),
    "$bytes": ((), lambda text, _: base64.b64decode(exactly(str, text), validate=True)),
    "$array": (("dtype", "shape"), array_from),
    "$float": ((), lambda text, _: float(exactly(str, text))),
    "$complex": ((), complex_from),
}
