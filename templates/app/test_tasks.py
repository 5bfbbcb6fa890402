"""Runs without a broker: `pip install -r requirements-test.txt && pytest`."""

import pytest

import tasks
import web


@pytest.fixture(autouse=True)
def eager():
    """Run tasks right here, and keep their results in memory."""
    before = {key: tasks.app.conf[key] for key in ("task_always_eager", "task_eager_propagates", "result_backend")}
    tasks.app.conf.update(task_always_eager=True, task_eager_propagates=True, result_backend="cache+memory://")
    yield
    tasks.app.conf.update(before)


def shade(**parameters):
    return web.shade(**{"size": 24, "seed": 1, "strips": 3, "queue": "celery", **parameters})


def test_a_terrain_is_the_same_however_it_is_cut():
    whole = shade(strips=1)["statistics"]

    assert whole["cells"] == 24 * 24
    assert shade(strips=5)["statistics"] == whole
    assert shade(strips=24)["statistics"] == whole


def test_another_seed_gives_another_terrain():
    assert shade(seed=1)["statistics"] != shade(seed=2)["statistics"]


def test_flat_ground_is_lit_evenly_and_a_slope_that_faces_away_is_dark():
    assert tasks.hillshade(0, 0) == 180
    assert tasks.hillshade(1, 1) > tasks.hillshade(0, 0)
    assert tasks.hillshade(-1, -1) < 64


@pytest.mark.parametrize(("size", "count"), [(8, 1), (10, 3), (64, 64)])
def test_strips_cover_every_row_once(size, count):
    rows = [row for first, last in tasks.strips(size, count) for row in range(first, last)]

    assert rows == list(range(size))


def test_the_answer_names_the_container_that_computed_it(monkeypatch):
    monkeypatch.setenv("CU_HOST", "host2")
    monkeypatch.setenv("CU_SERVICE", "worker")
    monkeypatch.setenv("CU_INSTANCE", "big")

    workers = shade(strips=3)["workers"]

    assert workers == [{"host": "host2", "service": "worker", "instance": "big", "strips": 3}]


def test_more_strips_than_rows_are_no_empty_tasks():
    workers = shade(size=8, strips=64)["workers"]

    assert sum(worker["strips"] for worker in workers) == 8
