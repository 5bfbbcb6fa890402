"""Terrain: shaded relief of a landscape.

A landscape is read from a file or made from a seed, cut into strips, lit from one side, and summed up.
Each function with `@task` is a unit of work: it runs on some worker, and its result is kept, so that the same work is
never done twice. A function with `@call` puts tasks together by calling them.
"""

import itertools
import os
import struct
import tempfile
import zlib

import numpy as np

from cu import File, call, ctx, task


@call(public=True)
def relief(size: int = 384, seed: int = 7, strips: int = 8, azimuth: float = 315.0, altitude: float = 45.0) -> dict:
    """Statistics of a shaded landscape, and the workers that computed its strips.

    Call it again with another azimuth: the strips of the landscape are there already, only the light is computed anew.

    Args:
        size: cells along each side, 8 to 4096
        seed: which landscape
        strips: how many tasks it is cut into
        azimuth: where the light comes from, in degrees clockwise from north
        altitude: how high the light stands, in degrees above the horizon
    """
    if not 8 <= size <= 4096:
        raise ValueError(f"size is {size}; it has to be between 8 and 4096")
    lamp = sun(azimuth, altitude)
    shaded = [shade(heights(size, seed, first, last), lamp) for first, last in cut(size, strips)]
    return summary(shaded)


@call(public=True, serve="file")
def picture(heightmap: File, azimuth: float = 315.0, altitude: float = 45.0) -> File:
    """A landscape of yours as a shaded picture.

    Args:
        heightmap: a NumPy file (.npy) with a height in each cell of a two-dimensional array
        azimuth: where the light comes from, in degrees clockwise from north
        altitude: how high the light stands, in degrees above the horizon
    """
    return paint(shade(read(heightmap), sun(azimuth, altitude)))


@task
def heights(size: int, seed: int, first: int, last: int) -> np.ndarray:
    """Heights in metres of the rows `first` to `last` (exclusive), with a row and a column more on each side."""
    ctx.progress(0.1, f"rows {first} to {last}")
    rows, columns = np.mgrid[first - 1 : last + 1, -1 : size + 1].astype(float)
    total = np.zeros_like(rows)
    for octave in range(5):
        spacing = max(size / (4 << octave), 1.0)
        total += noise(seed + octave, columns / spacing, rows / spacing) * 0.5**octave
    return total * size / 2


@task
def read(heightmap: File) -> np.ndarray:
    """The heights in a NumPy file, with its edge repeated on each side."""
    with heightmap.open() as stream:
        loaded = np.load(stream, allow_pickle=False)
    if loaded.ndim != 2:
        raise ValueError(f"the heightmap has {loaded.ndim} dimensions; it has to have two")
    return np.pad(loaded.astype(float), 1, mode="edge")


@task(retries=3, retry_for=ConnectionError)
def sun(azimuth: float, altitude: float) -> tuple[float, float, float]:
    """The direction of the light, east, north and up; from a source that is not always there."""
    if ctx.attempt == 1 and ctx.job:
        # Stands for a service that fails now and then: a worker tries again a second later.
        raise ConnectionError("the observatory does not answer")
    turn, height = np.radians(azimuth), np.radians(altitude)
    return (
        float(np.sin(turn) * np.cos(height)),
        float(np.cos(turn) * np.cos(height)),
        float(np.sin(height)),
    )


# `light` is what a worker offers in cu.config.yaml: so many of these run on a node at once, whatever its concurrency.
@task(resources={"light": 1})
def shade(ground: np.ndarray, lamp: tuple[float, float, float]) -> dict:
    """Brightness from 0 to 255 of each cell, and where it was computed."""
    east = (ground[1:-1, 2:] - ground[1:-1, :-2]) / 2
    south = (ground[2:, 1:-1] - ground[:-2, 1:-1]) / 2
    length = np.sqrt(east**2 + south**2 + 1)
    lit = (-east * lamp[0] + south * lamp[1] + lamp[2]) / length
    return {"brightness": np.clip(lit * 255, 0, 255).astype(np.uint8), "ground": ground[1:-1, 1:-1], **whereabouts()}


@task
def summary(strips: list) -> dict:
    """The strips in a few numbers; how the landscape was cut does not change them."""
    brightness = np.concatenate([strip["brightness"] for strip in strips])
    ground = np.concatenate([strip["ground"] for strip in strips])
    workers: dict[str, int] = {}
    for strip in strips:
        workers[strip["worker"]] = workers.get(strip["worker"], 0) + 1
    return {
        "cells": brightness.size,
        "mean_brightness": round(float(brightness.mean()), 3),
        "in_the_dark": round(float((brightness < 64).mean()), 4),
        "lowest": round(float(ground.min()), 3),
        "highest": round(float(ground.max()), 3),
        "workers": workers,
    }


@task
def paint(shaded: dict) -> File:
    """A grey PNG of the brightness (https://www.w3.org/TR/png-3/)."""
    image = shaded["brightness"]
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    with tempfile.NamedTemporaryFile(suffix=".png", delete=False) as out:
        out.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in chunks:
            out.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return File.of(out.name, "relief.png")


def cut(size: int, count: int) -> list[tuple[int, int]]:
    """Rows 0 to `size` in `count` strips of nearly the same height, none of them empty."""
    edges = [size * index // min(count, size) for index in range(min(count, size) + 1)]
    return list(itertools.pairwise(edges))


def noise(seed: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Smooth noise from 0 to 1, the same for the same arguments on every machine."""
    left, top = np.floor(x), np.floor(y)
    u, v = (part * part * (3 - 2 * part) for part in (x - left, y - top))
    upper = corner(seed, left, top) * (1 - u) + corner(seed, left + 1, top) * u
    lower = corner(seed, left, top + 1) * (1 - u) + corner(seed, left + 1, top + 1) * u
    return upper * (1 - v) + lower * v


def corner(seed: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A pseudo-random number from 0 to 1 for each corner of the noise grid."""
    mixed = x.astype(np.int64) * 374761393 + y.astype(np.int64) * 668265263 + seed * 2147483647 & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 13) * 1274126177 & 0xFFFFFFFF
    return (mixed ^ mixed >> 16) / 0xFFFFFFFF


def whereabouts() -> dict:
    """Which container this runs in: cu tells each its service, instance and host."""
    parts = [os.environ.get(name, "") for name in ("CU_SERVICE", "CU_INSTANCE", "CU_HOST")]
    return {"worker": "/".join(part for part in reversed(parts) if part) or "here"}
