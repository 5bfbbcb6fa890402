"""A whole service for the tests of the webserver: real worker and webserver processes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from cu.config import Settings, load_settings
from cu.testing import Workers, eventually, free_port

TOKEN = "all-scopes-0123456789abcdef"
READER = "no-scopes-0123456789abcdef"
MAPPER = "map-scope-0123456789abcdef"

TASKS = '''
"""Terrain, tile by tile.

What the tests of the webserver call.
"""

import enum
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

import cu
from cu import File, ctx


@cu.call(public=True)
def add(left: int, right: int = 2) -> int:
    """Add two numbers.

    Args:
        left: the first one
        right: the second one, which may be left out
    """
    return left + right


@cu.call(public=True)
def echo(value):
    """Give back what came."""
    return value


@cu.call(public=True)
def kind(value) -> str:
    """The type and representation of what came."""
    return f"{type(value).__name__} {value!r}"


@cu.call(public=True, scope="maps")
def restricted() -> str:
    return "a map"


@cu.call(public=True)
def count_up(to: int, directory: str = "") -> int:
    """Count, and say so.

    to: how far
    directory: where to leave a trace of each run
    """
    if directory:
        with open(Path(directory) / "runs", "a") as runs:
            runs.write("ran\\n")
    for step in range(to):
        ctx.progress(step / to, f"step {step}")
        ctx.log(f"line {step}")
        time.sleep(0.25)
        if ctx.cancelled():
            break
    return to


@cu.call(public=True)
def wait_for(path: str) -> str:
    """Return once there is a file at `path`."""
    while not Path(path).exists():
        if ctx.cancelled():
            return "cancelled"
        time.sleep(0.05)
    return "there"


@cu.call(public=True)
def grid(size: int) -> np.ndarray:
    return np.arange(size * size, dtype="<i4").reshape(size, size)


@cu.call(public=True, serve="value")
def grid_value(size: int) -> np.ndarray:
    return np.arange(size * size, dtype="<i4").reshape(size, size)


@cu.call(public=True, serve="reference")
def grid_reference(size: int) -> np.ndarray:
    return np.arange(size * size, dtype="<i4").reshape(size, size)


@cu.call(public=True)
def length(region: File, factor: int = 1) -> int:
    """How long a file is.

    region: any file
    factor: what to multiply with
    """
    return region.size * factor


@cu.call(public=True)
def doubled(region: File) -> File:
    """The file twice in a row."""
    target = Path(f"/tmp/doubled-{region.sha256[:8]}")
    with open(target, "wb") as out:
        for _ in range(2):
            with region.open() as source:
                while chunk := source.read(1 << 20):
                    out.write(chunk)
    return File.of(target, "doubled.bin")


@cu.call(public=True, serve="file")
def page(text: str) -> bytes:
    return f"<script>{text}</script>".encode()


@cu.call(public=True)
def fail(message: str = "it is broken") -> int:
    raise ValueError(message)


@cu.call(public=True, keep=2.0)
def short_lived() -> float:
    return time.time()


@cu.call(public=True, cache=False)
def now() -> float:
    return time.time()


@cu.call(public=True)
def report(region: File) -> dict:
    return {"region": region, "at": datetime(2026, 1, 2), "sizes": (1, 2), "nan": float("nan"), "raw": b"ab"}


class Shade(enum.Enum):
    LIGHT = "light"
    DARK = "dark"


@dataclass
class Sun:
    azimuth: float
    altitude: float = 45.0


@cu.call(public=True)
def relief(sun: Sun, shade: Shade, smooth: bool = False, more: list[Sun] | None = None) -> str:
    """Light from `sun`.

    sun: where the light comes from
    shade: of the valleys
    """
    return f"{sun.azimuth:g} {sun.altitude:g} {shade.value} {smooth} {len(more or [])}"


class Thing:
    pass


@cu.call(public=True)
def thing() -> Thing:
    return Thing()


@cu.task
def internal(x: int) -> int:
    return x
'''


class Service:
    """`web()` and `worker()` start processes; everything lies below `directory`."""

    def __init__(self, directory: Path, redis_url: str, *, has_storage: bool = True, project: str = "shop") -> None:
        self.directory = directory
        self.code = directory / "code"
        self.code.mkdir(parents=True)
        (self.code / "tasks.py").write_text(TASKS)
        (directory / "storage").mkdir()
        self.settings: Settings = replace(
            load_settings({}, Path("/nowhere")),
            project=f"{project}-{directory.name[-20:].strip('-_.')}",
            broker_url=redis_url,
            storage_url=(directory / "storage").as_uri() if has_storage else None,
            manifest_path=self.code / "cu-manifest.json",
            tokens={TOKEN: frozenset("*"), READER: frozenset(), MAPPER: frozenset({"maps"})},
            host="127.0.0.1",
        )
        self.workers = Workers(self.settings, directory, self.code)
        self.webs: list[Web] = []
        self.run("manifest")

    def environment(self, **extra: str) -> dict[str, str]:
        tokens = f"all:{TOKEN}:*\nreader:{READER}:\nmapper:{MAPPER}:maps"
        return {
            **self.workers.environment(0, {}),
            "CU_SERVICE": "webserver",
            "CU_LISTEN": "127.0.0.1",
            "CU_MANIFEST": str(self.settings.manifest_path),
            "API_TOKENS": tokens,
            **extra,
        }

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "cu", *arguments],
            cwd=self.code,
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            timeout=60,
        )
        if arguments == ("manifest",):
            assert done.returncode == 0, done.stderr
        return done

    def worker(self, **extra: str) -> None:
        self.workers.start(**extra)

    def web(self, *, is_ready: bool = True, **extra: str) -> Web:
        web = Web(self, extra)
        self.webs.append(web)
        eventually(web.is_ready if is_ready else web.is_up, 20, f"a webserver that serves: {web.log.read_text()}")
        return web

    def stop(self) -> None:
        for web in self.webs:
            web.kill()
        self.workers.stop()


class Web:
    """A webserver process, and a client of it with a token that may do everything."""

    def __init__(self, service: Service, extra: dict[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = service.directory / f"web-{self.port}.log"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cu", "web"],
                cwd=service.code,
                env=service.environment(CU_PORT=str(self.port), **extra),
                stdout=out,
                stderr=out,
            )
        self.client = self.client_with(TOKEN)

    def client_with(self, token: str | None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/healthz").status_code == 200
        return False

    def is_ready(self) -> bool:
        return self.is_up() and self.client.get("/readyz").status_code == 200

    def call(self, name: str, wait: int = 20, /, **arguments: Any) -> httpx.Response:
        return self.client.post(f"/v1/call/{name}", json=arguments, headers={"Prefer": f"wait={wait}"})

    def start(self, name: str, /, **arguments: Any) -> str:
        """Call without waiting; returns the id of the job."""
        answer = self.client.post(f"/v1/call/{name}", json=arguments)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.client.close()
