"""The work: statistics of a shaded relief, computed strip by strip by the workers.

A terrain is made from a seed, lit from one side, and summed up. Each strip of
rows is one task, so that one request keeps as many workers busy as there are.
Put your own functions here: what has `@app.task` above it runs on a worker.
"""

import math
import os
import platform

from celery import Celery

# cu gives every container these two, password included; the defaults are for running without cu.
app = Celery(
    "tasks",
    broker=os.environ.get("CU_BROKER_URL", "redis://localhost:6379/0"),
    backend=os.environ.get("CU_RESULT_URL", "redis://localhost:6379/1"),
)
app.conf.update(
    task_acks_late=True,  # a task whose worker dies goes to another one, so a task may run twice
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,  # an idle worker takes a task, a busy one leaves it to others
    result_expires=3600,
    broker_connection_retry_on_startup=True,
    redis_socket_timeout=30,
)


@app.task
def shade_strip(seed: int, size: int, first: int, last: int) -> dict:
    """Shade the rows `first` to `last` (exclusive) of a terrain of `size` x `size` cells."""
    rows = [
        [height(seed, size, column, row) for column in range(-1, size + 1)]
        for row in range(first - 1, last + 1)
    ]
    statistics = {"cells": 0, "shade_sum": 0, "dark": 0, "lowest": math.inf, "highest": -math.inf}
    for above, here, below in zip(rows, rows[1:], rows[2:]):
        for column in range(1, size + 1):
            shade = hillshade(
                (here[column + 1] - here[column - 1]) / 2,
                (below[column] - above[column]) / 2,
            )
            statistics["cells"] += 1
            statistics["shade_sum"] += shade
            statistics["dark"] += shade < 64
            statistics["lowest"] = min(statistics["lowest"], round(here[column], 3))
            statistics["highest"] = max(statistics["highest"], round(here[column], 3))
    return {"statistics": statistics, "worker": whereabouts()}


def strips(size: int, count: int) -> list[tuple[int, int]]:
    """Cut `size` rows into `count` strips of nearly the same height."""
    edges = [size * index // count for index in range(count + 1)]
    return list(zip(edges, edges[1:]))


def summarize(parts: list[dict]) -> dict:
    """Join the statistics of strips; how the terrain was cut does not change the outcome."""
    cells = sum(part["cells"] for part in parts)
    return {
        "cells": cells,
        "mean_shade": round(sum(part["shade_sum"] for part in parts) / cells, 3),
        "dark_share": round(sum(part["dark"] for part in parts) / cells, 4),
        "lowest": min(part["lowest"] for part in parts),
        "highest": max(part["highest"] for part in parts),
    }


def height(seed: int, size: int, column: int, row: int) -> float:
    """Height of a cell in metres: four octaves of value noise, each finer and lower."""
    total = 0.0
    for octave in range(4):
        spacing = max(size / (4 << octave), 1.0)
        total += noise(seed + octave, column / spacing, row / spacing) * 0.5**octave
    return total * size / 2


def noise(seed: int, x: float, y: float) -> float:
    """Smooth noise from 0 to 1, the same for the same arguments on every machine."""
    left, top = math.floor(x), math.floor(y)
    u, v = ease(x - left), ease(y - top)
    upper = corner(seed, left, top) * (1 - u) + corner(seed, left + 1, top) * u
    lower = corner(seed, left, top + 1) * (1 - u) + corner(seed, left + 1, top + 1) * u
    return upper * (1 - v) + lower * v


def ease(t: float) -> float:
    return t * t * (3 - 2 * t)


def corner(seed: int, x: int, y: int) -> float:
    """A pseudo-random number from 0 to 1 for a corner of the noise grid."""
    mixed = (x * 374761393 + y * 668265263 + seed * 2147483647) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0xFFFFFFFF
    return (mixed ^ (mixed >> 16)) / 0xFFFFFFFF


def hillshade(east: float, south: float, azimuth: float = 315.0, altitude: float = 45.0) -> int:
    """Brightness (0 to 255) of a slope that rises by `east` and `south` metres per metre."""
    zenith, light = math.radians(90 - altitude), math.radians(azimuth)
    slope, aspect = math.atan(math.hypot(east, south)), math.atan2(-east, south)
    lit = math.cos(zenith) * math.cos(slope) + math.sin(zenith) * math.sin(slope) * math.cos(light - aspect)
    return round(255 * max(0.0, lit))


def whereabouts() -> dict:
    """Which container this runs in; cu tells every container its host, service and instance."""
    return {
        "host": os.environ.get("CU_HOST", platform.node()),
        "service": os.environ.get("CU_SERVICE", ""),
        "instance": os.environ.get("CU_INSTANCE", ""),
    }
