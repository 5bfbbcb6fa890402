"""Measures the Python runtime; `npm run bench -- runtime` calls it. Prints one JSON object.

Rates are taken beside each other in one run, because the machines are shared: what counts are the ratios.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "templates" / "runtime"))

from cu import api
from cu.config import load_settings
from cu.testing import RedisServer, Workers, eventually, free_port

TOKEN = "bench-token-0123456789"
CODE = '''
from cu import call, task

@task
def empty(number: int) -> int:
    return number

@call(public=True)
def hit(number: int = 1) -> int:
    """A small result."""
    return number

@task
def block(number: int) -> bytes:
    return number.to_bytes(4, "big") * 25_000

@task
def length(parts: list) -> int:
    return sum(len(part) for part in parts)

@call
def tree(count: int) -> int:
    return length([length([block(first + index) for index in range(100)]) for first in range(0, count, 100)])
'''.replace("[length([", "[size([").replace(
    "@call\ndef tree",
    """@task
def size(parts: list) -> bytes:
    return b"x" * len(parts)

@call
def tree""",
)

# What the predecessor does at a hit: the webserver sends a Celery task, whose worker looks the result up, and waits.
OLD_WAY = """
import os
from celery import Celery
from fastapi import FastAPI
app = Celery("old", broker=os.environ["OLD"], backend=os.environ["OLD"])
app.conf.update(worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)
@app.task
def look_up(number):
    return number
web = FastAPI()
@web.post("/")
def hit(body: dict):
    return look_up.delay(body["number"]).get(timeout=30)
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cu-bench-") as name:
        folder = Path(name)
        (folder / "storage").mkdir()
        (folder / "redis").mkdir()
        (folder / "code").mkdir()
        (folder / "code" / "tasks.py").write_text(CODE)
        (folder / "code" / "old.py").write_text(OLD_WAY)
        server = RedisServer(folder / "redis")
        server.start()
        try:
            print(json.dumps(measure(folder, server)))
        finally:
            server.stop()


def measure(folder: Path, server: RedisServer) -> dict[str, float]:
    settings = replace(
        load_settings({"CU_PROJECT": "bench", "CU_ENV": "bench", "CU_BROKER_URL": server.url}),
        storage_url=(folder / "storage").as_uri(),
        tokens={TOKEN: frozenset("*")},
    )
    os.chdir(folder / "code")
    sys.path.insert(0, str(folder / "code"))
    with api.use(settings):
        workers = Workers(settings, folder, folder / "code")
        try:
            workers.start(CU_CONCURRENCY="2")
            import tasks

            found = {**misses(tasks), **rate(tasks)}
            found |= hits(folder, server, workers, tasks)
            found |= big_tree(tasks, server, folder)
            return found
        finally:
            workers.stop()


def misses(tasks) -> dict[str, float]:
    """Submit to committed result of an empty task, one after the other."""
    times = []
    for number in range(300):
        started = time.perf_counter()
        pending = tasks.empty.submit(number)
        while pending.state() != "done":
            time.sleep(0.0005)
        times.append((time.perf_counter() - started) * 1000)
    return {"miss_ms": statistics.median(times[20:])}


def rate(tasks) -> dict[str, float]:
    """Small tasks a second with two worker processes, submitted beforehand by four threads."""
    count = 3000
    ledger = api.runtime().ledger
    before = ledger.counts()["done"]

    def submit(first: int) -> None:
        for number in range(first, count, 4):
            tasks.empty.submit(10_000 + number)

    started = time.perf_counter()
    threads = [threading.Thread(target=submit, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: ledger.counts()["done"] - before >= count, 120)
    return {"tasks_per_second": count / (time.perf_counter() - started)}


def hits(folder: Path, server: RedisServer, workers: Workers, tasks) -> dict[str, float]:
    port = free_port()
    environment = workers.environment(9, {"API_TOKEN": TOKEN, "CU_PORT": str(port), "CU_LISTEN": "127.0.0.1"})
    subprocess.run([sys.executable, "-m", "cu", "manifest"], env=environment, check=True, stdout=subprocess.DEVNULL)
    web = subprocess.Popen([sys.executable, "-m", "cu", "web"], env=environment, stdout=subprocess.DEVNULL)
    old_environment = {**os.environ, "OLD": server.url.replace("/0", "/5")}
    old = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "old", "worker", "-c", "2", "-l", "ERROR"],
        env=old_environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    old_port = free_port()
    old_web = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "old:web", "--port", str(old_port), "--log-level", "error"],
        env=old_environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for one in (port, old_port):
            eventually(lambda one=one: is_open(one), 30)
        tasks.hit.submit(1).result(timeout=30)
        call(connection)
        times = []
        for _ in range(2000):
            started = time.perf_counter()
            call(connection)
            times.append((time.perf_counter() - started) * 1000)
        new_rate = many_hits(port)
        old_rate = many_hits(old_port, "/", 60)
        return {
            "hit_ms": statistics.median(times),
            "hits_per_second": new_rate,
            "celery_hits_per_second": old_rate,
            "web_rss_mb": rss_mb(web.pid),
        }
    finally:
        for process in (web, old, old_web):
            process.terminate()
            process.wait()


def call(connection: http.client.HTTPConnection) -> None:
    connection.request(
        "POST",
        "/v1/call/tasks.hit",
        b'{"number": 1}',
        {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (answer.status, body)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def many_hits(port: int, path: str = "/v1/call/tasks.hit", each: int = 500) -> float:
    """Eight connections from a process of its own, raw sockets: the client must not be what is measured."""
    script = f"""
import asyncio, time
REQUEST = (b"POST {path} HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Bearer {TOKEN}\\r\\n"
           b"Content-Type: application/json\\r\\nContent-Length: 13\\r\\n\\r\\n" + b'{{"number": 1}}')
async def client(count):
    reader, writer = await asyncio.open_connection("127.0.0.1", {port})
    for _ in range(count):
        writer.write(REQUEST)
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        size = int(head.lower().split(b"content-length:")[1].split(b"\\r\\n")[0])
        await reader.readexactly(size)
    writer.close()
async def main():
    started = time.perf_counter()
    await asyncio.gather(*(client({each}) for _ in range(8)))
    print({8 * each} / (time.perf_counter() - started))
asyncio.run(main())
"""
    return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


def big_tree(tasks, server: RedisServer, folder: Path) -> dict[str, float]:
    """10,000 nodes of 100 kB each: a gigabyte of values, none of it in Redis."""
    count = int(os.environ.get("CU_BENCH_NODES", "10000"))
    ledger = api.runtime().ledger
    before = ledger.redis.info("memory")["used_memory"]
    most = before
    is_over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not is_over.wait(0.2):
            most = max(most, ledger.redis.info("memory")["used_memory"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        assert tasks.tree.submit(count).result(timeout=600) == count
    finally:
        is_over.set()
        watcher.join()
    after = ledger.redis.info("memory")["used_memory"]
    return {
        "tree_nodes": count,
        "tree_seconds": time.perf_counter() - started,
        "tree_redis_peak_mb": (most - before) / 1e6,
        "tree_redis_left_mb": (after - before) / 1e6,
    }


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
