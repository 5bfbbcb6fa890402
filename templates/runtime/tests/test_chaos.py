"""Nothing accepted is lost, and nothing is done twice, whatever dies. The hosts' version is test/e2e/chaos.test.ts.

`S id` and `D id` are written beside Redis, by tasks, and `A id` by the producer once `submit` has returned. Events come
after progress that was seen, never by the clock alone. `CU_CHAOS_TASKS` and `CU_CHAOS_SEEDS` make it longer.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import redis as redis_package

from cu import api
from cu.config import Settings
from cu.testing import RedisServer, Workers, eventually

WORK = Path(__file__).parent / "work"
sys.path.insert(0, str(WORK))

import jobs

TASKS = int(os.environ.get("CU_CHAOS_TASKS", "60"))
SEEDS = [int(seed) for seed in os.environ.get("CU_CHAOS_SEEDS", "1").split(",")]


@dataclass
class Scene:
    workers: Workers
    redis: RedisServer
    marks: Path
    random: random.Random

    def starts(self) -> list[tuple[str, int]]:
        found = [line.split() for line in self.marks.read_text().splitlines()]
        return [(line[1], int(line[2])) for line in found if line[0] == "S"]

    def progress(self, more: int = 8) -> None:
        """Wait until at least `more` tasks have started."""
        before = len(self.starts())
        eventually(lambda: len(self.starts()) >= before + more, 90, f"{more} more starts")

    def victim(self) -> subprocess.Popen[bytes]:
        return self.random.choice([one for one in self.workers.processes if one.poll() is None])

    def replace(self, number: int, process: subprocess.Popen[bytes]) -> None:
        """What Docker does: another in the place of one that ended."""
        os.killpg(process.pid, number)
        if number != signal.SIGTERM:
            process.wait()
        self.workers.start(ready=False)


def terminate(scene: Scene) -> None:
    process = scene.victim()
    process.terminate()
    process.wait(60)
    scene.workers.start(ready=False)


def terminate_then_kill(scene: Scene) -> None:
    process = scene.victim()
    process.terminate()
    scene.workers.start(ready=False)
    scene.progress(3)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def kill_the_group(scene: Scene) -> None:
    scene.replace(signal.SIGKILL, scene.victim())


def kill_one_child(scene: Scene) -> None:
    groups = {process.pid for process in scene.workers.processes if process.poll() is None}
    done = {line.split()[1] for line in scene.marks.read_text().splitlines() if line.startswith("D")}
    candidates = [pid for id_, pid in scene.starts() if id_ not in done]
    scene.random.shuffle(candidates)
    for pid in candidates:
        # A start without an end may also be one whose process is gone since.
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) in groups:
                os.kill(pid, signal.SIGKILL)
                return


def stop_redis(scene: Scene) -> None:
    scene.redis.stop()
    scene.redis.start()


def kill_redis(scene: Scene) -> None:
    scene.redis.kill()
    scene.redis.start()


def freeze_redis(scene: Scene) -> None:
    scene.redis.signal(signal.SIGSTOP)
    time.sleep(10)
    scene.redis.signal(signal.SIGCONT)


def freeze_a_worker(scene: Scene) -> None:
    """What a partition looks like from outside: it holds leases, and comes back when they are another's."""
    process = scene.victim()
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(scene.workers.settings.lease_seconds * 2)
    os.killpg(process.pid, signal.SIGCONT)


EVENTS: list[tuple[str, Callable[[Scene], None], int]] = [
    ("TERM of a worker", terminate, 4),
    ("TERM, then KILL", terminate_then_kill, 4),
    ("KILL of a worker", kill_the_group, 4),
    ("KILL of one child", kill_one_child, 6),
    ("TERM of Redis", stop_redis, 2),
    ("KILL of Redis", kill_redis, 3),
    ("a frozen Redis", freeze_redis, 1),
    ("a frozen worker", freeze_a_worker, 2),
]


@pytest.fixture
def scene(
    cu_settings: Settings,
    redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Scene]:
    marks = tmp_path / "marks"
    marks.touch()
    monkeypatch.setenv("CU_MARKS", str(marks))
    settings = replace(cu_settings, broker_url=redis_server.url, modules=("jobs",), lease_seconds=2, max_lost=20)
    with api.use(settings, patience_seconds=20):
        workers = Workers(settings, tmp_path, WORK)
        monkeypatch.setenv("CU_MAX_LOST", "20")
        yield Scene(workers, redis_server, marks, random.Random(0))
        workers.stop()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "event", "times"), EVENTS, ids=[name for name, _, _ in EVENTS])
def test_nothing_accepted_is_lost(
    scene: Scene, name: str, event: Callable[[Scene], None], times: int, seed: int
) -> None:
    scene.random.seed(seed)
    scene.workers.start()
    scene.workers.start()
    accepted: list[str] = []
    commits = Commits(scene.redis.url, scene.workers.settings.prefix)
    is_over = threading.Event()
    producer = threading.Thread(target=produce, args=(scene, accepted, is_over), daemon=True)
    producer.start()

    try:
        for _ in range(times):
            scene.progress()
            event(scene)
    finally:
        # Also when an event failed: what goes on producing would write into the tests that follow.
        is_over.set()
        producer.join(120)
    assert not producer.is_alive()

    missing = eventually_done(scene, accepted)
    print(f"{name}, seed {seed}: accepted {len(accepted)}, starts {len(scene.starts())}, missing {len(missing)}")
    assert missing == []
    assert commits.twice() == []


def produce(scene: Scene, accepted: list[str], is_over: threading.Event) -> None:
    """Keep accepting until the events are over, and at least so many in all."""
    choice = random.Random(len(accepted))
    number = 0
    while not is_over.is_set() or number < TASKS:
        id_ = f"t{number}"
        number += 1
        try:
            jobs.work.submit(id_, choice.choice((0.0, 0.01, 0.05, 0.2)))
        except redis_package.RedisError:
            # Not accepted: the caller knows, and may ask again.
            continue
        accepted.append(id_)
        time.sleep(0.03)


def eventually_done(scene: Scene, accepted: list[str]) -> list[str]:
    """What was accepted and has no result, once nothing changes any more."""
    ledger = api.runtime().ledger

    def is_quiet() -> bool:
        try:
            counts = ledger.counts()
        except redis_package.RedisError:
            return False
        return counts["queued"] == counts["running"] == counts["waiting"] == 0

    eventually(is_quiet, 120, "an empty queue")
    done = {line.split()[1] for line in scene.marks.read_text().splitlines() if line.startswith("D")}
    return [id_ for id_ in accepted if id_ not in done]


class Commits:
    """How often each job was committed, by the ledger's own count of transitions."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self.prefix = prefix

    def twice(self) -> list[str]:
        client = redis_package.Redis.from_url(self.url)
        totals = {name.decode(): int(value) for name, value in client.hgetall(f"{self.prefix}totals").items()}
        jobs_done = [key for key in client.scan_iter(f"{self.prefix}job:*") if client.hget(key, "state") == b"done"]
        return [] if totals.get("done", 0) == len(jobs_done) else [f"{totals} but {len(jobs_done)} done jobs"]
