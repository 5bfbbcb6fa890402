"""What makes two calls the same call, and what does not."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import os
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from values import exact, values

from cu import api, keys
from cu.codec import File
from cu.keys import Unhashable, call_key, code_version, digest

SOURCE = '''
import json
import math
from functools import wraps

from cu import call, task

FACTOR = 2
TABLE = {"a": [1, 2]}
LOCK = __import__("threading").Lock()


def helper(x):
    return deeper(x) * FACTOR


def deeper(x):
    return x + 1


class Model:
    scale = 3

    def apply(self, x):
        return x * self.scale


def plain(x, offset=0):
    """Say what it does."""
    # A remark.
    with LOCK:
        return helper(x) + Model().apply(x) + math.floor(offset) + TABLE["a"][0]


@task
def decorated(x):
    return helper(x)


@call
def tree(x):
    return decorated(x)


def aside(x):
    return json.dumps(x)
'''


@dataclasses.dataclass
class Point:
    x: float
    y: float


@dataclasses.dataclass
class Size:
    x: float
    y: float


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1


def same(left: object, right: object) -> bool:
    return digest(left, "it") == digest(right, "it")


@given(values, values)
def test_keys_are_equal_exactly_for_what_nothing_tells_apart(left: object, right: object) -> None:
    if isinstance(left, File) and isinstance(right, File):
        # The content counts, not what the file is called.
        assert same(left, right) == (left.sha256 == right.sha256)
    else:
        assert same(left, right) == (exact(left) == exact(right)) or has_file(left)


def has_file(value: object) -> bool:
    return "File(" in repr(value)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, "1"),
        (1, 1.0),
        (1, True),
        (0, None),
        ("", b""),
        ("a", b"a"),
        (1e-9, 2e-9),
        (0.1 + 0.2, 0.3),
        (0.0, -0.0),
        (1.0, complex(1)),
        ([1, 2], (1, 2)),
        ([1, 2], [2, 1]),
        ([[1], 2], [[1, 2]]),
        (["ab", "c"], ["a", "bc"]),
        ({1}, [1]),
        ({1}, frozenset({1, 2})),
        ({1}, frozenset({1})),
        ({"a": 1}, [("a", 1)]),
        ({1: "a"}, {"1": "a"}),
        (Point(1, 2), Size(1, 2)),
        (Point(1, 2), Point(2, 1)),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Colour.RED, Colour.BLUE),
        (Colour.RED, 1),
        (Level.LOW, 1),
        (PurePosixPath("a"), "a"),
        (np.int64(1), 1),
        (np.int32(1), np.int64(1)),
        (np.array(1), np.int64(1)),
        (np.zeros(4), np.zeros((2, 2))),
        (np.zeros(0), np.zeros((0, 3))),
        (np.zeros(2, "<f4"), np.zeros(1, "<f8")),
        (np.zeros(2, "<u4"), np.zeros(2, ">u4")),
        (np.array(["a"]), np.array(["b"])),
        (np.array(["2026-01-01"], "M8[D]"), np.array(["2026-01-01"], "M8[s]")),
    ],
    ids=repr,
)
def test_different_values_have_different_keys(left: object, right: object) -> None:
    assert not same(left, right)


def test_two_large_arrays_that_differ_in_one_cell_have_different_keys() -> None:
    left = np.zeros((2000, 1000))
    right = left.copy()
    right[1234, 567] = 1e-300

    assert not same(left, right)
    assert same(left, left.copy())


def test_how_an_array_lies_in_memory_does_not_count() -> None:
    array = np.arange(24).reshape(4, 6)

    assert same(array, np.asfortranarray(array))
    assert same(array[::2], array[::2].copy())
    assert same(array.T, np.ascontiguousarray(array.T))


def test_the_order_of_keywords_dicts_and_sets_does_not_count() -> None:
    assert call_key("f", "1", {"a": 1, "b": 2}) == call_key("f", "1", {"b": 2, "a": 1})
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert same({*range(50)}, {*reversed(range(50))})


def test_arguments_cannot_run_into_each_other() -> None:
    assert call_key("f", "1", {"a": "b"}) != call_key("f", "1", {"ab": ""})
    assert call_key("fa", "1", {}) != call_key("f", "a1", {})
    assert call_key("f", "1", {"a": 1}) != call_key("f", "2", {"a": 1})


def test_a_key_is_the_same_in_every_process() -> None:
    """Hashes of text are seeded anew in each; a key may not be."""
    program = "from cu.keys import digest; print(digest([{'a', 'b', 'c'}, {'x': 1, 'y': {2.5, None}}], 'it'))"
    source = str(Path(keys.__file__).parent.parent)
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": source},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(found) == 1


def test_a_file_counts_by_its_content_alone(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"same")
    (tmp_path / "b.tif").write_bytes(b"same")
    (tmp_path / "c.tif").write_bytes(b"other")
    a, b, c = (File.of(tmp_path / f"{name}.tif") for name in "abc")

    assert same(a, b)
    assert not same(a, c)


def endless() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), r"argument 'region': a builtins\.object cannot be part of a cache key"),
        ([1, {"size": object()}], r"argument 'region'\[1\]\['size'\]: a builtins\.object"),
        (Point(1.0, object()), r"argument 'region'\.y: a builtins\.object"),  # type: ignore[arg-type]
        (lambda: 1, r"a builtins\.function cannot"),
        ((x for x in "a"), r"a builtins\.generator cannot"),
        (threading.Lock(), r"a _thread\.lock cannot"),
        (np.array([object()]), "an array of Python objects cannot"),
        (np.ma.masked_array([1, 2], [0, 1]), "a MaskedArray cannot .* numpy.asarray"),
        (endless(), "nested deeper than 100, or contains itself"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_has_no_key_is_a_type_error_that_names_the_argument(value: object, message: str) -> None:
    with pytest.raises(Unhashable, match=message):
        call_key("f", "1", {"region": value})
    assert issubclass(Unhashable, TypeError)


@pytest.fixture
def thing() -> Iterator[type]:
    class Thing:
        def __init__(self, name: str, cache: object) -> None:
            self.name, self.cache = name, cache

    yield Thing
    keys.REGISTERED.pop(Thing, None)


def test_key_for_says_how_a_type_of_ones_own_counts(thing: type) -> None:
    keys.key_for(thing, lambda one: one.name)

    assert same(thing("a", object()), thing("a", object()))
    assert not same(thing("a", None), thing("b", None))
    # Also within others, for its subclasses, and never equal to what the function gives.
    assert same([thing("a", 1)], [thing("a", 2)])
    assert same(type("Sub", (thing,), {})("a", 1), type("Sub", (thing,), {})("a", 2))
    assert not same(thing("a", None), "a")


def test_defaults_and_ways_to_pass_an_argument_do_not_matter_and_ignored_ones_do_not_count() -> None:
    def area(width: int, height: int = 2, *, verbose: bool = False) -> int:
        return width * height

    task = api.task(area, ignore_args=["verbose"], name=f"keys.{area.__qualname__}")
    try:
        assert task.key(3) == task.key(width=3) == task.key(3, 2) == task.key(height=2, width=3)
        assert task.key(3, verbose=True) == task.key(3)
        assert task.key(3, 4) != task.key(3)
        assert task.key("3") != task.key(3)
        with pytest.raises(TypeError, match="missing a required argument: 'width'"):
            task.key()
    finally:
        del api.REGISTRY[task.name]


class Code:
    """A module that is written, imported and written again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.count = 0

    def load(self, source: str = SOURCE) -> types.ModuleType:
        for name in [name for name in api.REGISTRY if name.startswith("written.")]:
            del api.REGISTRY[name]
        sys.modules.pop("written", None)
        # A name of its own for each, because Python keeps lines and byte code by path and second.
        self.count += 1
        folder = self.directory / str(self.count)
        folder.mkdir()
        (folder / "written.py").write_text(source)
        sys.path.insert(0, str(folder))
        try:
            importlib.invalidate_caches()
            return importlib.import_module("written")
        finally:
            sys.path.remove(str(folder))

    def version(self, old: str = "", new: str = "", name: str = "plain") -> str:
        assert old in SOURCE
        found = getattr(self.load(SOURCE.replace(old, new) if old else SOURCE), name)
        return str(found.version) if isinstance(found, api.Task) else code_version(found)


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Code]:
    yield Code(tmp_path)
    sys.modules.pop("written", None)
    for name in [name for name in api.REGISTRY if name.startswith("written.")]:
        del api.REGISTRY[name]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    # A remark.\n", "    # Another one.\n\n"),
        ('    """Say what it does."""\n', '    """Say it in other words."""\n'),
        ("return helper(x) + Model", "return (helper(x)\n            ) + Model"),
        ("return json.dumps(x)", "return json.dumps([x])"),
        ("def aside(x)", "def beside(x)"),
    ],
    ids=["a comment", "a docstring", "layout", "a function it does not use", "the name of one that it does not use"],
)
def test_what_does_not_change_a_result_keeps_the_version(code: Code, old: str, new: str) -> None:
    assert code.version(old, new) == code.version()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("math.floor(offset)", "math.ceil(offset)"),
        ("offset=0", "offset=1"),
        ("deeper(x) * FACTOR", "deeper(x) ** FACTOR"),
        ("return x + 1", "return x + 2"),
        ("FACTOR = 2", "FACTOR = 2.0"),
        ('{"a": [1, 2]}', '{"a": [1, 3]}'),
        ("scale = 3", "scale = 4"),
        ("return x * self.scale", "return x / self.scale"),
    ],
    ids=[
        "its body",
        "a default",
        "what it calls",
        "what that calls",
        "a constant",
        "a table",
        "an attribute",
        "a method",
    ],
)
def test_what_may_change_a_result_changes_the_version(code: Code, old: str, new: str) -> None:
    assert code.version(old, new) != code.version()


def test_options_of_a_task_do_not_change_its_version(code: Code) -> None:
    assert code.version("@task\n", "@task(retries=3, queue='big')\n", "decorated") == code.version(name="decorated")
    assert code.version("@task\n", "@task(version='7')\n", "decorated") == "7"


def test_the_parts_of_a_call_have_versions_of_their_own(code: Code) -> None:
    assert code.version("return x + 1", "return x + 2", "tree") == code.version(name="tree")
    assert code.version("return x + 1", "return x + 2", "decorated") != code.version(name="decorated")


def test_a_function_without_source_has_the_version_of_what_it_came_with() -> None:
    functions: list[Callable[..., Any]] = [len, np.dot]
    for function in functions:
        assert len(code_version(function)) == 16
    with pytest.raises(TypeError, match="give version= by hand"):
        code_version(eval("lambda: 1", {"__name__": "nowhere"}))
