"""Jobs as clients see them: once, or as a stream of server-sent events."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.responses import Response

from .ledger import ENDED, Job
from .problems import json_response
from .waiting import Waiters

HEARTBEAT_SECONDS = 15.0


def view(job: Job) -> dict[str, Any]:
    """What a client sees of a job; times are unix seconds."""
    location = f"/v1/jobs/{job.id}"
    shown: dict[str, Any] = {
        "id": job.id,
        "state": job.state,
        "location": location,
        "function": job.name,
        "key": job.key,
        "progress": job.progress,
        "message": job.message,
        "attempts": job.attempts,
        "queue": job.queue,
        "node": job.node,
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "error": public_error(job.error) if job.error and job.state != "done" else None,
    }
    return {**shown, "result": f"{location}/result"} if job.state == "done" else shown


def public_error(error: Mapping[str, Any]) -> dict[str, Any]:
    """Type and message of what went wrong, and of what caused it; never a traceback."""
    shown = {name: error[name] for name in ("type", "message", "errors", "part") if name in error}
    cause = error.get("cause")
    return {**shown, "cause": public_error(cause)} if isinstance(cause, dict) and cause else shown


def job_response(job: Job, status: int, headers: Mapping[str, str] | None = None) -> Response:
    later = {} if job.state in ENDED else {"retry-after": "1"}
    return json_response(view(job), status, {**later, **(headers or {})})


async def event_stream(
    waiters: Waiters, id_: str, number: int, heartbeat_seconds: float = HEARTBEAT_SECONDS
) -> AsyncIterator[bytes]:
    """Server-sent events (HTML standard, 9.2): what changes of a job, and a comment when nothing does.

    The first event, with the id `number`, is the state as it is, so whoever comes back has not missed it.
    """
    state, said, sent = "", (0.0, ""), time.monotonic()
    yield b"retry: 1000\n\n"
    async with aclosing(waiters.follow(id_)) as all_news:
        async for news in all_news:
            kind, data = "", dict[str, Any]()
            if isinstance(news, Job):
                now = (news.progress or 0.0, news.message)
                kind = "state" if news.state != state else "progress" if now != said else ""
                data = view(news) if kind == "state" else {"progress": news.progress, "message": news.message}
                state, said = news.state, now
            elif news:
                kind, data = "log" if "log" in news else "progress", dict(news)
                if kind == "progress":
                    said = (said[0] if news["progress"] is None else news["progress"], news["message"])
            if kind:
                yield f"event: {kind}\nid: {number}\ndata: {json.dumps(data)}\n\n".encode()
                number, sent = number + 1, time.monotonic()
            elif time.monotonic() - sent > heartbeat_seconds:
                yield b": still here\n\n"
                sent = time.monotonic()
