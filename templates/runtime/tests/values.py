"""Values of every kind that travels, and an equality that tells apart what Python's `==` does not."""

from __future__ import annotations

import datetime
import struct
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from cu.codec import File, Ref

digests = st.text("0123456789abcdef", min_size=64, max_size=64)
zones = st.none() | st.timezones() | st.just(datetime.UTC)

scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(1 << 200), max_value=1 << 200),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(max_size=12),
    st.binary(max_size=12),
    st.datetimes(timezones=zones),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.builds(File, digests, st.integers(0, 1 << 40), st.text(max_size=8)),
    st.builds(Ref, digests),
)
arrays: st.SearchStrategy[Any] = hn.arrays(
    st.one_of(hn.integer_dtypes(), hn.floating_dtypes(), hn.boolean_dtypes(), hn.complex_number_dtypes()),
    hn.array_shapes(max_dims=3, max_side=4, min_side=0),
)
names = st.text(max_size=6)
plain_keys = st.one_of(names, st.integers(-9, 9), st.booleans(), st.binary(max_size=3), st.none())


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4).map(tuple),
            st.dictionaries(plain_keys, inner, max_size=4),
            st.sets(plain_keys, max_size=4),
            st.frozensets(plain_keys, max_size=4),
        ),
        max_leaves=10,
    )


values = nested(st.one_of(scalars, arrays))


def exact(value: Any) -> Any:
    """Equal for two values exactly when nothing could tell them apart: types, -0.0, order of a list, dtype, zone."""
    kind = type(value).__name__
    if isinstance(value, np.ndarray | np.generic):
        return "array", isinstance(value, np.ndarray), value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, float):
        return kind, struct.pack(">d", value)
    if isinstance(value, complex):
        return kind, struct.pack(">dd", value.real, value.imag)
    if isinstance(value, dict):
        return kind, frozenset((exact(name), exact(item)) for name, item in value.items())
    if isinstance(value, set | frozenset):
        return kind, frozenset(map(exact, value))
    if isinstance(value, list | tuple):
        return kind, tuple(map(exact, value))
    if isinstance(value, datetime.datetime | datetime.time):
        return kind, value.isoformat(), str(value.tzinfo), value.fold
    return kind, repr(value)
