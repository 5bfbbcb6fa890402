"""Fixtures for pytest, there as soon as this package is installed.

`cu_eager`: tasks run right here, cached in a folder of the test. `cu_redis`: the URL of a throwaway Redis, or of the one
that `cu test` gives. `cu_workers`: a real worker on that Redis, for what has to cross processes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from . import api, codec
from .config import Settings, load_settings


def eventually(check: Callable[[], Any], timeout: float = 20, what: str = "the state that was waited for") -> Any:
    """Poll until `check()` is truthy, and return that; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not come within {timeout:g} s"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """A real Redis on a port of its own, configured as `kind: redis` does; it can be killed and started again."""

    def __init__(self, directory: Path, fsync: str = "always") -> None:
        self.directory = directory
        self.fsync = fsync
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.fail("there is no redis-server: `apt-get install redis-server`, or set CU_BROKER_URL", pytrace=False)
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self.directory, "appendonly": "yes", "save": ""}
        options |= {"appendfsync": self.fsync, "maxmemory-policy": "noeviction"}
        flat = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        log = (self.directory / "redis.log").open("ab")
        self.process = subprocess.Popen([program, *flat], stdout=log, stderr=log)
        eventually(self.answers, what="a Redis that answers")

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(redis.Redis(port=self.port, socket_timeout=1).ping())
        return False

    def signal(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


class Workers:
    """Real worker processes, each with children of its own."""

    def __init__(self, settings: Settings, directory: Path, code: Path) -> None:
        self.settings = settings
        self.directory = directory
        self.code = code
        self.processes: list[subprocess.Popen[bytes]] = []

    def environment(self, number: int, extra: Mapping[str, str]) -> dict[str, str]:
        settings = self.settings
        source = str(Path(api.__file__).parent.parent)
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")])),
            "CU_PROJECT": settings.project,
            "CU_ENV": settings.env,
            "CU_SERVICE": "worker",
            "CU_INSTANCE": str(number),
            "CU_HOST": "test",
            "CU_BROKER_URL": settings.broker_url,
            "CU_STORAGE": settings.storage_url or "",
            "CU_TASKS": ",".join(settings.modules),
            "CU_CONCURRENCY": "2",
            "CU_LEASE": f"{settings.lease_seconds:g}",
            "CU_HEARTBEAT": str(self.directory / f"heartbeat-{number}"),
            **extra,
        }

    def start(self, *, ready: bool = True, **extra: str) -> subprocess.Popen[bytes]:
        """Start one more; variables such as CU_QUEUES="a,b" go into its environment."""
        number = len(self.processes) + 1
        log = (self.directory / f"worker-{number}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "cu", "worker"],
            cwd=self.code,
            env=self.environment(number, extra),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.processes.append(process)
        if ready:
            eventually((self.directory / f"heartbeat-{number}").exists, 30, f"a heartbeat of worker {number}")
        return process

    def output(self, number: int = 1) -> str:
        return (self.directory / f"worker-{number}.log").read_text()

    def stop(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()


@pytest.fixture
def cu_settings(tmp_path: Path) -> Settings:
    """Settings of a project of its own, with its storage in the test's folder, and no broker."""
    (tmp_path / "storage").mkdir()
    return replace(
        load_settings(),
        project=f"test-{uuid.uuid4().hex[:8]}",
        env="test",
        storage_url=(tmp_path / "storage").as_uri(),
        cache_dir=tmp_path / "cache",
        heartbeat_path=tmp_path / "heartbeat",
    )


@pytest.fixture
def cu_eager(cu_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[api.Runtime]:
    """Run tasks right here, through a cache of the test's own; no broker is needed."""
    with api.use(cu_settings) as rt:
        from .store import Store

        store = Store(
            cu_settings.storage_url or "",
            cu_settings.namespace,
            cache_dir=cu_settings.cache_dir,
            cache_bytes=cu_settings.cache_bytes,
        )
        store.attach(None)
        codec.current_store.set(store)
        rt.__dict__["store"] = store
        yield rt


@pytest.fixture(scope="session")
def cu_redis() -> Iterator[str]:
    """The URL of a real Redis: the one in CU_BROKER_URL, else one that is started for this run."""
    given = os.environ.get("CU_BROKER_URL")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="cu-redis-") as directory:
        server = RedisServer(Path(directory))
        server.start()
        try:
            yield server.url
        finally:
            server.stop()


@pytest.fixture
def cu_workers(cu_settings: Settings, cu_redis: str, tmp_path: Path) -> Iterator[Workers]:
    """Start workers with `cu_workers.start()`; `task.submit(...)` then goes to them."""
    settings = replace(cu_settings, broker_url=cu_redis)
    workers = Workers(settings, tmp_path, Path.cwd())
    with api.use(settings):
        try:
            yield workers
        finally:
            workers.stop()
