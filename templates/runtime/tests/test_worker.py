"""Real workers on a real Redis."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cu import CallError, api
from cu.config import Settings
from cu.testing import Workers, eventually
from cu.worker import BUSY

WORK = Path(__file__).parent / "work"
sys.path.insert(0, str(WORK))

import jobs


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "marks"
    path.touch()
    monkeypatch.setenv("CU_MARKS", str(path))
    return path


@pytest.fixture
def workers(cu_settings: Settings, redis_url: str, tmp_path: Path, marks: Path) -> Iterator[Workers]:
    from dataclasses import replace

    settings = replace(cu_settings, broker_url=redis_url, modules=("jobs",), lease_seconds=2)
    with api.use(settings):
        started = Workers(settings, tmp_path, WORK)
        yield started
        started.stop()


def lines(marks: Path) -> list[str]:
    return marks.read_text().splitlines()


def test_a_call_is_computed_by_a_worker(workers: Workers) -> None:
    workers.start()

    assert jobs.double.submit(21).result(timeout=30) == 42


def test_a_second_equal_call_is_not_computed(workers: Workers, marks: Path) -> None:
    workers.start()
    jobs.double.submit(21).result(timeout=30)

    again = jobs.double.submit(number=21)

    assert again.id is None
    assert again.result() == 42
    assert lines(marks) == ["S double 21"]


def test_equal_calls_in_flight_are_one_job(workers: Workers, marks: Path) -> None:
    first = jobs.work.submit("same", 0.2)
    second = jobs.work.submit(id="same", seconds=0.2)
    workers.start()

    assert second.joined
    assert second.id == first.id
    assert first.result(timeout=30) == second.result(timeout=30) == "same"
    assert sum(line.startswith("S same") for line in lines(marks)) == 1


def test_a_tree_runs_distributed_and_a_changed_argument_recomputes_only_its_branch(
    workers: Workers, marks: Path
) -> None:
    workers.start()

    assert jobs.total.submit(5).result(timeout=30) == 20
    first = Counter(lines(marks))
    assert jobs.total.submit(5, offset=3).result(timeout=30) == 23

    assert first["S double 4"] == 1
    assert first["S add"] == 2
    # Of the second call only the last sum is new.
    assert Counter(lines(marks)) - first == Counter({"S add": 1})


def test_calls_may_be_nested_and_may_compose_what_only_a_task_knows(workers: Workers) -> None:
    workers.start()

    assert jobs.nested.submit(3).result(timeout=30) == 13
    assert jobs.dynamic.submit(4).result(timeout=30) == [0, 2, 4, 6]


def test_a_part_that_fails_fails_its_call_and_says_which(workers: Workers) -> None:
    workers.start()

    with pytest.raises(CallError, match=r"jobs\.partly_broken failed: .*jobs\.broken failed"):
        jobs.partly_broken.submit().result(timeout=30)


def test_what_raises_is_tried_again_as_often_as_it_says(workers: Workers, marks: Path) -> None:
    workers.start()

    assert jobs.flaky.submit("twice", 2).result(timeout=30) == 3
    with pytest.raises(CallError, match="failed: not now"):
        jobs.flaky.submit("for ever", 9).result(timeout=30)

    assert lines(marks).count("S for ever") == 3


def test_a_task_that_kills_its_worker_ends_as_dead_is_listed_and_can_be_retried(workers: Workers, marks: Path) -> None:
    workers.start()
    pending = jobs.poison.submit("p")

    with pytest.raises(CallError, match="dead: its worker died or vanished 5 times"):
        pending.result(timeout=60)

    ledger = api.runtime().ledger
    assert [job.id for job in ledger.jobs("dead")] == [pending.id]
    assert lines(marks).count("S p") == 5
    assert ledger.retry(pending.id or "")
    eventually(lambda: lines(marks).count("S p") > 5)


def test_a_task_that_takes_too_long_is_interrupted(workers: Workers) -> None:
    workers.start()

    with pytest.raises(CallError, match="took longer than its timeout of 1 s"):
        jobs.slow.submit("s").result(timeout=30)


def test_a_cancelled_task_sees_it_and_its_worker_goes_on(workers: Workers, marks: Path) -> None:
    workers.start(CU_CONCURRENCY="1")
    pending = jobs.watched.submit("w", 60.0)
    eventually(lambda: "S w" in lines(marks))

    assert pending.cancel()

    with pytest.raises(CallError, match="cancelled"):
        pending.result(timeout=10)
    assert jobs.double.submit(4).result(timeout=20) == 8


def test_progress_and_messages_are_seen_while_it_runs(workers: Workers) -> None:
    workers.start()
    pending = jobs.watched.submit("w", 3.0)

    job = eventually(lambda: (job := pending.job()) is not None and job.progress is not None and job)

    assert (job.progress, job.message, job.state) == (0.4, "reading", "running")
    assert pending.result(timeout=30) == "finished"


def test_a_resource_is_given_to_so_many_as_its_node_offers(workers: Workers, marks: Path) -> None:
    workers.start(CU_OFFERS='{"gpu": 1}', CU_CONCURRENCY="4")
    workers.start(CU_CONCURRENCY="2")

    nodes = [pending.result(timeout=60) for pending in [jobs.on_gpu.submit(str(index)) for index in range(4)]]

    assert set(nodes) == {"1"}
    assert most_at_once(lines(marks)) == 1


def test_a_limit_holds_for_the_whole_fleet(workers: Workers, marks: Path) -> None:
    workers.start(CU_CONCURRENCY="3")
    workers.start(CU_CONCURRENCY="3")

    for pending in [jobs.licensed.submit(str(index)) for index in range(6)]:
        pending.result(timeout=60)

    assert most_at_once(lines(marks)) == 2


def test_what_no_worker_has_room_for_stays_queued(workers: Workers) -> None:
    workers.start()

    pending = jobs.on_gpu.submit("g")

    jobs.double.submit(1).result(timeout=30)
    assert pending.state() == "queued"


def test_urgent_calls_go_first(workers: Workers, marks: Path) -> None:
    for index in range(20):
        jobs.work.submit(f"normal {index}", 0.01)
    pending = jobs.urgent.submit("urgent")
    workers.start(CU_CONCURRENCY="1")

    pending.result(timeout=30)

    assert [line.split()[1] for line in lines(marks) if line.startswith("S")].index("urgent") < 5


def test_what_is_not_cached_is_computed_each_time(workers: Workers) -> None:
    workers.start()

    first = jobs.clock.submit().result(timeout=30)

    assert jobs.clock.submit().result(timeout=30) > first


def test_a_stopping_worker_finishes_what_it_runs(workers: Workers, marks: Path) -> None:
    process = workers.start()
    pending = jobs.work.submit("last", 2.0)
    eventually(lambda: any(line.startswith("S last") for line in lines(marks)))

    BUSY.unlink(missing_ok=True)
    process.send_signal(signal.SIGTERM)

    # Whoever waits for it reads there how much is left.
    eventually(lambda: BUSY.exists() and BUSY.read_text().startswith("1 "), what="a word about what is left")
    assert process.wait(20) == 0
    assert pending.state() == "done"
    assert sum(line.startswith("S last") for line in lines(marks)) == 1


def test_what_a_stopping_worker_cannot_finish_is_with_another_within_a_second_of_the_end_of_its_grace(
    workers: Workers, marks: Path
) -> None:
    first = workers.start(CU_DRAIN="2", CU_CONCURRENCY="1")
    pending = jobs.work.submit("long", 6.0)
    eventually(lambda: any(line.startswith("S long") for line in lines(marks)))
    workers.start(CU_CONCURRENCY="1")

    first.send_signal(signal.SIGTERM)
    first.wait(10)
    ended = time.monotonic()
    eventually(lambda: sum(line.startswith("S long") for line in lines(marks)) == 2, 5)

    assert time.monotonic() - ended < 1.5
    assert pending.result(timeout=30) == "long"


def test_a_killed_child_loses_nothing(workers: Workers, marks: Path) -> None:
    workers.start(CU_CONCURRENCY="1")
    pending = jobs.work.submit("k", 1.5)
    started = eventually(lambda: [line for line in lines(marks) if line.startswith("S k")])

    os.kill(int(started[0].split()[2]), signal.SIGKILL)

    assert pending.result(timeout=30) == "k"


def test_a_health_file_is_touched_only_while_redis_answers(workers: Workers, tmp_path: Path) -> None:
    workers.start()
    heartbeat = tmp_path / "heartbeat-1"

    first = heartbeat.stat().st_mtime

    eventually(lambda: heartbeat.stat().st_mtime > first, 15)


def test_a_queue_is_served_only_by_those_who_name_it(workers: Workers) -> None:
    workers.start(CU_QUEUES="other")

    pending = jobs.double.submit(3)

    time_of_a_canary = Path(workers.directory / "heartbeat-1").stat().st_mtime
    eventually(lambda: Path(workers.directory / "heartbeat-1").stat().st_mtime > time_of_a_canary, 15)
    assert pending.state() == "queued"


def test_an_unknown_function_is_left_to_a_worker_that_knows_it(workers: Workers, tmp_path: Path, marks: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "jobs.py").write_text("from cu import task\n@task\ndef other(): pass\n")
    code, workers.code = workers.code, old
    workers.start(CU_CONCURRENCY="1")
    pending = jobs.double.submit(8)
    workers.code = code
    workers.start(CU_CONCURRENCY="1")

    assert pending.result(timeout=40) == 16


def test_another_version_of_the_code_computes_what_waits_under_its_own_key(
    workers: Workers, tmp_path: Path, marks: Path
) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / "jobs.py").write_text((WORK / "jobs.py").read_text().replace("return 2 * number", "return 20 * number"))
    pending = jobs.total.submit(3)
    workers.code = new
    workers.start()

    assert pending.result(timeout=30) == 60
    # What the old code would have computed is not taken from the new.
    assert api.runtime().store.get_entry(jobs.double.key(2)) is None


def most_at_once(marks: list[str]) -> int:
    running = most = 0
    for line in marks:
        running += 1 if line.startswith("S") else -1
        most = max(most, running)
    return most
