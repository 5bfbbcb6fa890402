"""The web API: each request becomes tasks, and the answer names the workers that computed it."""

import os

import uvicorn
from celery import group
from celery.exceptions import TimeoutError as TaskTimeout
from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse
from kombu.exceptions import OperationalError

import tasks

TIMEOUT_SECONDS = 60

api = FastAPI(title="Terrain", description=__doc__)


@api.get("/", response_class=HTMLResponse, include_in_schema=False)
def index() -> str:
    """What can be called."""
    return PAGE


@api.get("/shade")
def shade(
    size: int = Query(192, ge=8, le=1024, description="cells along each side"),
    seed: int = Query(1, ge=0, le=2**31, description="which terrain"),
    strips: int = Query(4, ge=1, le=64, description="how many tasks to cut it into"),
    queue: str = Query("celery", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="which workers compute it"),
) -> dict:
    """Statistics of a shaded terrain, and which workers computed how many of its strips."""
    jobs = group(tasks.shade_strip.s(seed, size, first, last) for first, last in tasks.strips(size, min(strips, size)))
    try:
        # What nobody took in time is dropped, so that a queue without workers does not fill up.
        running = jobs.apply_async(queue=queue, expires=TIMEOUT_SECONDS)
    except OperationalError as error:
        raise HTTPException(503, "broker not reachable") from error
    try:
        # join, not get: waiting for a group at once takes Celery at least half a second.
        parts = running.join(timeout=TIMEOUT_SECONDS)
    except TaskTimeout:
        raise HTTPException(504, f"no answer within {TIMEOUT_SECONDS} s: does a worker serve queue {queue!r}?") from None
    finally:
        running.forget()
    return {
        "statistics": tasks.summarize([part["statistics"] for part in parts]),
        "workers": count_strips([part["worker"] for part in parts]),
        "web": tasks.whereabouts(),
    }


@api.get("/healthz")
def healthz() -> dict:
    """200 once requests can be served, which takes the broker too."""
    try:
        with tasks.app.connection_for_write(connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.1, timeout=3)
    except Exception as error:
        raise HTTPException(503, f"broker not reachable: {type(error).__name__}") from error
    return {"status": "ok", "version": os.environ.get("CU_VERSION", "")}


def count_strips(workers: list[dict]) -> list[dict]:
    """Each worker once, with how many strips it did."""
    counts: dict[tuple, int] = {}
    for worker in workers:
        counts[tuple(worker.items())] = counts.get(tuple(worker.items()), 0) + 1
    return [{**dict(worker), "strips": count} for worker, count in sorted(counts.items())]


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Terrain</title>
<h1>Terrain</h1>
<p>Statistics of a shaded relief, computed by the workers of this project.</p>
<ul>
  <li><a href="/shade">/shade</a>: cut into four tasks, for whichever workers are free</li>
  <li><a href="/shade?size=384&amp;strips=16&amp;seed=7">/shade?size=384&amp;strips=16&amp;seed=7</a>: more work, more tasks</li>
  <li>/shade?queue=NAME: only the workers that serve the queue NAME</li>
  <li><a href="/healthz">/healthz</a>: 200 while the service works</li>
  <li><a href="/openapi.json">/openapi.json</a>: all of it for machines, <a href="/docs">/docs</a> for people</li>
</ul>
</html>
"""

if __name__ == "__main__":
    # cu sets CU_PORT from the service's `ports`; in a container it has to listen on every address.
    uvicorn.run(api, host="0.0.0.0", port=int(os.environ.get("CU_PORT", "8123")), timeout_graceful_shutdown=10)
