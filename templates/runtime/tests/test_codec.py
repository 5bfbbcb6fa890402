"""What is sent comes back exactly, and what strangers send does nothing."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from values import exact, nested, scalars, values

from cu import codec
from cu.codec import File, decode, encode, from_json, pack, to_json, unpack

SECRET = b"0123456789abcdef"


@given(values)
def test_what_is_packed_comes_back_exactly(value: object) -> None:
    assert exact(unpack(pack(value))) == exact(value)


@given(values)
def test_a_result_comes_back_exactly(value: object) -> None:
    encoded = encode(value)
    if encoded.codec == "file":
        assert encoded.file == value
    else:
        assert encoded.data is not None
        assert exact(decode(encoded.codec, encoded.data)) == exact(value)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -0.0, 1 << 5000, "\ud800", {"$file": "x"}, {"a": {"$bytes": "YQ=="}}, np.float32(0.1)],
    ids=repr,
)
def test_what_json_would_change_comes_back_exactly(value: Any) -> None:
    encoded = encode(value)
    assert encoded.data is not None
    assert exact(decode(encoded.codec, encoded.data)) == exact(value)


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_a_value_or_a_value_error(data: bytes) -> None:
    for name in ("msgpack", "npy", "json"):
        try:
            decode(name, data)
        except ValueError:
            continue


@given(values, st.randoms(use_true_random=False))
@settings(max_examples=300)
def test_damaged_bytes_are_a_value_or_a_value_error(value: object, chance: random.Random) -> None:
    data = bytearray(pack(value))
    for _ in range(chance.randint(1, 3)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    cut = bytes(data[: chance.randint(0, len(data))])
    for one in (bytes(data), cut):
        try:
            unpack(one)
        except ValueError:
            continue


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xffabc",
        b"\x91" * 100_000 + b"\xc0",
        msgpack.packb(msgpack.ExtType(99, b"")),
        msgpack.packb(msgpack.ExtType(15, msgpack.packb(["../../etc/passwd", 1, "x"]))),
        msgpack.packb(msgpack.ExtType(16, msgpack.packb(["ab" * 31 + "/."]))),
        msgpack.packb(
            msgpack.ExtType(20, b"\x93NUMPY\x01\x00\x76\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,)}")
        ),
    ],
    ids=["long list", "long dict", "long bytes", "deep", "unknown", "a path as file", "a path as reference", "objects"],
)
def test_bytes_that_ask_for_too_much_are_refused_before_they_get_it(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a packed value"):
        unpack(data)


def test_a_header_of_an_array_cannot_ask_for_memory() -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with pytest.raises(ValueError, match="not as much data as its shape says"):
        decode("npy", data)


class Touch:
    """Unpickled, it makes a file: what an attacker would rather have do more."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_pickle_is_off_until_there_is_a_secret() -> None:
    with pytest.raises(
        TypeError, match="cannot be sent; .* or switch on pickle: give the deployment a secret PICKLE_KEY"
    ):
        encode(Path)


def test_a_pickle_that_this_deployment_did_not_sign_is_never_loaded(tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    data = pickle.dumps(Touch(harm))
    signed = encode(Touch(harm), pickle_key=b"another secret 123").data
    assert signed is not None

    for stranger in (data, b"\0" * 32 + data, signed):
        with pytest.raises(ValueError, match="not signed with this deployment's PICKLE_KEY"):
            decode("pickle", stranger, pickle_key=SECRET)
        with pytest.raises(ValueError, match="needs the secret PICKLE_KEY"):
            decode("pickle", stranger)
    assert not harm.exists()


class Own:
    def __init__(self, number: int) -> None:
        self.number = number


def test_with_a_secret_any_picklable_value_comes_back() -> None:
    encoded = encode(Own(7), pickle_key=SECRET)

    assert encoded.codec == "pickle"
    assert encoded.data is not None
    assert decode("pickle", encoded.data, pickle_key=SECRET).number == 7


json_values = nested(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary())
)


@given(json_values)
def test_what_http_shows_can_be_sent_back(value: object) -> None:
    try:
        shown = to_json(value)
    except TypeError:
        return
    again = to_json(from_json(shown))
    assert again == shown


@given(nested(scalars))
def test_what_http_shows_is_json(value: object) -> None:
    import json

    try:
        shown = to_json(value)
    except TypeError:
        return
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"$file": "../../etc/passwd"}, "not a SHA-256"),
        ({"$pickle": "gASV"}, r"'\$pickle' is not a form of a value"),
        ({"$bytes": "%%%"}, r"not a right \$bytes"),
        ({"$array": [[1], [1, 2]]}, r"not a right \$array"),
        ({"$array": ["a"], "dtype": "O"}, "has no form in JSON"),
        ({"$array": ["a"], "dtype": "U20000000"}, "too large for JSON"),
        ({"$float": 3}, "is not a str"),
        ({"$file": "ab" * 32, "path": "/etc/passwd"}, r"a \$file has no 'path'"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_a_wrong_form_in_a_request_is_named(form: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json([form])


def test_a_file_that_changed_before_it_was_stored_is_told(tmp_path: Path) -> None:
    path = tmp_path / "result.bin"
    path.write_bytes(b"first")
    file = File.of(path)
    path.write_bytes(b"second, longer")

    class Empty:
        def has(self, _: str) -> bool:
            return False

    token = codec.current_store.set(Empty())
    try:
        with pytest.raises(ValueError, match=r"result\.bin was changed or removed after File\.of had read it"):
            codec.unstored([file])
    finally:
        codec.current_store.reset(token)
