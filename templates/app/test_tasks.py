"""`cu test` runs these in the image. `cu_eager` runs tasks right here; `cu_workers` starts real workers."""

import numpy as np
import pytest
import tasks

from cu import File

pytestmark = pytest.mark.usefixtures("cu_eager")


def numbers(**arguments):
    return {name: value for name, value in tasks.relief(**{"size": 48, **arguments}).items() if name != "workers"}


def test_a_landscape_is_the_same_however_it_is_cut():
    whole = numbers(strips=1)

    assert whole["cells"] == 48 * 48
    assert numbers(strips=5) == whole
    assert numbers(strips=1000) == whole


def test_another_seed_gives_another_landscape():
    assert numbers(seed=1) != numbers(seed=2)


def test_flat_ground_is_lit_evenly():
    light = tasks.sun(315.0, 45.0)

    shaded = tasks.shade(np.zeros((6, 6)), light)

    assert np.unique(shaded["brightness"]).tolist() == [180]


def test_a_slope_that_faces_the_light_is_brighter():
    light = tasks.sun(270.0, 45.0)
    rising_to_the_east = np.tile(np.arange(8.0), (8, 1))

    facing = tasks.shade(rising_to_the_east, light)["brightness"].mean()

    assert facing > tasks.shade(rising_to_the_east[:, ::-1].copy(), light)["brightness"].mean()


@pytest.mark.parametrize(("size", "count"), [(8, 1), (10, 3), (64, 64), (8, 64)])
def test_strips_cover_every_row_once(size, count):
    rows = [row for first, last in tasks.cut(size, count) for row in range(first, last)]

    assert rows == list(range(size))


def test_a_heightmap_becomes_a_picture(tmp_path):
    path = tmp_path / "hill.npy"
    np.save(path, np.add.outer(np.arange(20.0), np.arange(30.0)))

    picture = tasks.picture(File.of(path))

    assert picture.name == "relief.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_workers_compute_the_same(cu_workers):
    cu_workers.start(CU_OFFERS='{"light": 1}')

    answer = tasks.relief.submit(size=32, strips=3).result(timeout=60)

    assert sum(answer["workers"].values()) == 3
