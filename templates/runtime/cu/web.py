"""The webserver: calls, jobs and files over HTTP. It knows functions by the manifest, and never imports them.

A call whose result is cached is answered here without a worker, and mostly without Redis and storage too.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import json
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any

from redis.exceptions import RedisError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from . import codec, server
from .answers import Answer, Answers, answer_for, in_memory
from .api import INLINE_BYTES, rebuild
from .backend import Backend
from .codec import File
from .config import ConfigError, Settings
from .jobs import event_stream, job_response, public_error, view
from .ledger import ENDED, STATES, Job, NewJob, Submitted
from .log import line, set_up_logging
from .manifest import ArgumentErrors, Function, load_manifest
from .metrics import Metrics
from .openapi import list_calls, openapi
from .problems import Problem, as_problem, json_response
from .sending import Sending
from .uploads import JSON_BYTES, batches, bind_form, bind_json, receive_file, receive_form
from .waiting import Waiters

MOST_WAIT_SECONDS = 60.0
LARGE_BODY_BYTES = 32 * 1024
BUG = Problem(500, "something went wrong here: the log has more, under the id of this request")
PAGES = {
    "/docs": ("index.html", "text/html"),
    "/docs/app.js": ("app.js", "text/javascript"),
    "/docs/style.css": ("style.css", "text/css"),
}
PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}

log = logging.getLogger("cu")


@dataclass
class Trace:
    """A request: its id, its headers, and what its log line says beside them."""

    id: str
    headers: Mapping[bytes, bytes]
    fields: dict[str, object] = field(default_factory=dict)


def create_app(settings: Settings) -> Web:
    """The ASGI application; ConfigError when it would let strangers in."""
    if not settings.tokens and not is_loopback(settings.host):
        raise ConfigError(
            f"the webserver listens on {settings.host} without any token, so anybody could call it: "
            "put API_TOKEN=$(openssl rand -hex 32) into .cu/secrets.env, or set CU_LISTEN=127.0.0.1"
        )
    return Web(settings)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    set_up_logging()
    web = create_app(settings)
    server.run(web, settings.host, settings.port, web.waiters.stop)


class Web:
    """One process of the webserver, as an ASGI application."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.manifest = load_manifest(settings.manifest_path)
        self.calls = {function.name: function for function in self.manifest.public}
        self.tokens = [(token.encode(), scopes) for token, scopes in settings.tokens.items()]
        self.backend = Backend(settings)
        self.ledger = self.backend.ledger
        self.waiters = Waiters(settings.broker_url, self.ledger.events_channel, self.backend.read_jobs)
        self.answers = Answers()
        self.metrics = Metrics()
        self.router = Router(self.routes(), lifespan=self.lifespan)

    def routes(self) -> list[Route]:
        return [
            Route("/v1/call/{name}", self.call, methods=["POST"]),
            Route("/v1/calls", self.document(list_calls(self.manifest))),
            Route("/v1/jobs", self.list_jobs),
            Route("/v1/jobs/{id}", self.job),
            Route("/v1/jobs/{id}", self.cancel, methods=["DELETE"]),
            Route("/v1/jobs/{id}/events", self.events),
            Route("/v1/jobs/{id}/result", self.result),
            Route("/v1/jobs/{id}/retry", self.retry, methods=["POST"]),
            Route("/v1/files", self.upload, methods=["POST"]),
            Route("/v1/files/{sha256}", self.put_file, methods=["PUT"]),
            Route("/v1/files/{sha256}", self.download),
            Route("/openapi.json", self.document(openapi(self.manifest))),
            Route("/healthz", healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.show_metrics),
            Route("/", to_docs),
            *(Route(path, page(name, media_type)) for path, (name, media_type) in PAGES.items()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give a request its id, turn whatever goes wrong into a problem, and log one line."""
        scope["app"] = self
        if scope["type"] != "http":
            await self.router(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        trace = scope["cu"] = Trace(request_id(headers.get(b"x-request-id", b"")), headers)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", trace.id.encode())]
            await send(message)

        try:
            await self.router(scope, receive, send_with_id)
        except ClientDisconnect:
            status = status or 499
        except Exception as error:
            problem = as_problem(error)
            if problem is None:
                log.exception("request failed", extra={"fields": {"request": trace.id, **trace.fields}})
            if status == 0:
                await (problem or BUG).response(trace.id)(scope, receive, send_with_id)
        seconds = time.perf_counter() - started
        self.metrics.count(status, seconds)
        known = {"request": trace.id, "method": scope["method"], "path": scope["path"], "status": status}
        fields = {**known, "ms": round(seconds * 1000, 2), **trace.fields}
        print(line(time.time(), "info", "request", fields), flush=True)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: object) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.waiters.run()), asyncio.create_task(self.backend.attach())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.backend.close()

    def authorise(self, trace: Trace, scope: str = "") -> None:
        """401 without a known token, 403 when it lacks the scope."""
        if not self.tokens:
            refuse_strangers(trace.headers)
            return
        scheme, _, given = trace.headers.get(b"authorization", b"").partition(b" ")
        granted: frozenset[str] | None = None
        for token, scopes in self.tokens:
            if hmac.compare_digest(token, given.strip()) and scheme.lower() == b"bearer":
                granted = scopes
        if granted is None:
            hint = "send a header `Authorization: Bearer TOKEN`"
            what = f"this token is not known: {hint}" if given else f"a token is needed: {hint}"
            raise Problem(401, what, headers={"www-authenticate": "Bearer"})
        if scope and not granted & {scope, "*"}:
            challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
            raise Problem(403, f"this token lacks the scope {scope}", headers={"www-authenticate": challenge})

    async def call(self, request: Request) -> Any:
        trace: Trace = request.scope["cu"]
        name = request.path_params["name"]
        function = self.calls.get(name)
        self.authorise(trace, function.scope if function is not None else "")
        if function is None:
            raise Problem(404, f"there is no public function {name}; GET /v1/calls lists those there are")
        arguments, key = await self.read_call(function, request, trace)
        trace.fields.update(function=name, key=key)
        answer = await self.find(key, function.serve, trace) if function.cache else None
        if answer is not None:
            trace.fields["cache"] = "hit"
            self.metrics.hits.inc()
            return Sending(self.backend, answer, extra=[(b"x-cu-cache", b"hit")])
        job = await self.submit(function, arguments, trace)
        seconds = preferred_wait(trace.headers.get(b"prefer", b""))
        if seconds and job.state not in ENDED:
            job = await self.waiters.wait(job.id, seconds) or job
        if job.state in ENDED:
            return Sending(self.backend, await self.outcome(job, trace), extra=[(b"x-cu-cache", b"miss")])
        return job_response(job, 202, {"location": f"/v1/jobs/{job.id}"})

    async def read_call(self, function: Function, request: Request, trace: Trace) -> tuple[dict[str, Any], str]:
        """The arguments of a call and its key, from JSON or a form."""
        content_type = trace.headers.get(b"content-type", b"application/json")
        if content_type.startswith(b"multipart/form-data"):
            form = await receive_form(self.backend, request.receive, trace.headers)
            return await self.backend.with_storage(bind_form, function, form)
        if not content_type.startswith(b"application/json"):
            raise Problem(415, "send the arguments as application/json or multipart/form-data")
        body = b"".join([batch async for batch in batches(request.receive, trace.headers, JSON_BYTES)])
        if len(body) > LARGE_BODY_BYTES:
            return await self.backend.with_storage(bind_json, function, body)
        return bind_json(function, body)

    async def find(self, key: str, serve: str, trace: Trace) -> Answer | None:
        """A cached result, from memory or else from the storage."""
        is_raw_wanted = wants_raw(trace.headers.get(b"accept", b""))
        answer = self.answers.get((key, is_raw_wanted))
        if answer is None:
            answer = await self.backend.with_storage(self.look_up, key, serve, is_raw_wanted)
            if answer is not None:
                self.answers.put((key, is_raw_wanted), answer)
                self.backend.later(self.backend.store.used, "index", key)
        return answer

    def look_up(self, key: str, serve: str, is_raw_wanted: bool) -> Answer | None:
        store = self.backend.store
        entry = store.get_entry(key)
        if entry is None:
            self.backend.check_mount()
            return None
        return answer_for(entry, serve, is_raw_wanted, store)

    async def submit(self, function: Function, arguments: Mapping[str, Any], trace: Trace) -> Job:
        new = await self.backend.with_storage(self.pack, function, arguments)
        submitted, job = await self.backend.with_redis(self.accept, new)
        trace.fields.update(job=submitted.id, cache="joined" if submitted.joined else "miss")
        (self.metrics.joined if submitted.joined else self.metrics.misses).inc()
        if job is None:
            raise Problem(503, "the queue forgot the call again: is Redis out of memory?")
        return job

    def accept(self, new: NewJob) -> tuple[Submitted, Job | None]:
        submitted = self.ledger.submit(new)
        return submitted, self.ledger.get(submitted.id)

    def pack(self, function: Function, arguments: Mapping[str, Any]) -> NewJob:
        """The job of a call; its files have to be there, and if they are many its arguments become a blob."""
        missing: list[tuple[str, str]] = []
        known = {name: self.uploaded(value, name, missing) for name, value in arguments.items()}
        if missing:
            raise ArgumentErrors(missing)
        packed = codec.pack(known)
        if len(packed) > INLINE_BYTES:
            try:
                packed = codec.pack({"$blob": self.backend.store.put_bytes(packed)})
            except ConfigError as error:
                raise Problem(413, str(error)) from error
        return function.job(known, packed)

    def uploaded(self, value: Any, name: str, missing: list[tuple[str, str]]) -> Any:
        """`value` with the true sizes of its files; only what was uploaded or handed out can be used."""
        if not isinstance(value, File):
            return rebuild(value, lambda item: self.uploaded(item, name, missing))
        self.backend.need_files()
        store = self.backend.store
        size = store.size(value.sha256) if store.has_upload(value.sha256) else None
        if size is None:
            missing.append((name, f"no such file was uploaded: PUT it to /v1/files/{value.sha256} first"))
            return value
        store.used("uploads", value.sha256)
        return replace(value, size=size)

    async def find_job(self, request: Request, scope: str = "") -> Job:
        trace: Trace = request.scope["cu"]
        self.authorise(trace, scope)
        id_ = request.path_params["id"]
        trace.fields["job"] = id_
        job = (await self.backend.read_jobs([id_]))[id_] if re.fullmatch(r"[0-9a-f]{32}", id_) else None
        if job is None:
            raise Problem(404, "there is no such job, or it ended so long ago that it was forgotten")
        trace.fields["function"] = job.name
        return job

    async def job(self, request: Request) -> Response:
        job = await self.find_job(request)
        seconds = asked_wait(request.query_params.get("wait", "0"))
        if seconds and job.state not in ENDED:
            job = await self.waiters.wait(job.id, seconds) or job
        return job_response(job, 200)

    async def cancel(self, request: Request) -> Response:
        job = await self.find_job(request)
        if not await self.backend.with_redis(self.ledger.cancel, job.id):
            raise Problem(409, f"the job is {job.state} already: there is nothing to cancel", job=view(job))
        return job_response(await self.find_job(request), 200)

    async def retry(self, request: Request) -> Response:
        job = await self.find_job(request, "admin")
        if not await self.backend.with_redis(self.ledger.retry, job.id):
            why = "only failed and dead jobs can be queued anew, unless an equal call runs already"
            raise Problem(409, f"the job is {job.state}: {why}", job=view(job))
        return job_response(await self.find_job(request), 202, {"location": f"/v1/jobs/{job.id}"})

    async def list_jobs(self, request: Request) -> Response:
        self.authorise(request.scope["cu"], "admin")
        state = request.query_params.get("state", "dead")
        if state not in STATES:
            raise Problem(422, f"state={state!r} is none of {', '.join(STATES)}")
        jobs = await self.backend.with_redis(self.ledger.jobs, state)
        return json_response({"jobs": [view(job) for job in jobs]})

    async def result(self, request: Request) -> Any:
        trace: Trace = request.scope["cu"]
        answer = await self.outcome(await self.find_job(request), trace)
        return Sending(self.backend, answer, asked=trace.headers)

    async def outcome(self, job: Job, trace: Trace) -> Answer:
        """The result of a job, or the problem that it has none."""
        shown = view(job)
        if job.state in ("failed", "dead"):
            error = public_error(job.error or {})
            raise Problem(500, f"{job.name} {job.state}: {error.get('message', '')}", error=error, job=shown)
        if job.state == "cancelled":
            raise Problem(410, "the job was cancelled: there is no result", job=shown)
        if job.result_key is None:
            what = f"the job is {job.state}: its result is not there yet"
            raise Problem(409, what, headers={"retry-after": "1"}, job=shown)
        function = self.manifest.functions.get(job.name)
        answer = await self.find(job.result_key, "auto" if function is None else function.serve, trace)
        if answer is None:
            raise Problem(410, "the result is not kept any more: call it again", job=shown)
        return answer

    async def events(self, request: Request) -> Response:
        job = await self.find_job(request)
        last = request.headers.get("last-event-id", "0")
        first = int(last) + 1 if re.fullmatch(r"[0-9]{1,9}", last) else 1
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        if request.method == "HEAD":
            return Response(headers=headers, media_type="text/event-stream")
        stream = event_stream(self.waiters, job.id, first)
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def upload(self, request: Request) -> Response:
        trace: Trace = request.scope["cu"]
        self.authorise(trace)
        if not trace.headers.get(b"content-type", b"").startswith(b"multipart/form-data"):
            return file_response(await receive_file(self.backend, request.receive, trace.headers), 201)
        form = await receive_form(self.backend, request.receive, trace.headers)
        if len(form.files) != 1:
            raise Problem(422, f"the form holds {len(form.files)} files: send one file in a request")
        return file_response(form.files[0][1], 201)

    async def put_file(self, request: Request) -> Response:
        trace: Trace = request.scope["cu"]
        self.authorise(trace)
        sha256 = request.path_params["sha256"]
        if not is_sha256(sha256):
            raise Problem(422, "the last part of the path is not a SHA-256: 64 letters of 0-9 and a-f")
        size = await self.upload_size(sha256)
        if size is not None:
            return file_response(File(sha256, size), 200)
        return file_response(await receive_file(self.backend, request.receive, trace.headers, sha256), 201)

    async def download(self, request: Request) -> Any:
        trace: Trace = request.scope["cu"]
        self.authorise(trace)
        sha256 = request.path_params["sha256"]
        size = await self.upload_size(sha256) if is_sha256(sha256) else None
        if size is None:
            raise Problem(404, "there is no such file: it was never uploaded, or it was purged")
        upload = await self.backend.with_storage(self.backend.store.upload, sha256)
        name = str((upload or {}).get("name") or sha256[:16])
        answer = Answer(codec.media_type_of(name), size, sha256, None, sha256, name)
        return Sending(self.backend, answer, asked=trace.headers)

    async def upload_size(self, sha256: str) -> int | None:
        """Bytes of a file that was uploaded or handed out, else None."""
        self.backend.need_files()
        store = self.backend.store

        def read() -> int | None:
            return store.size(sha256) if store.has_upload(sha256) else None

        return await self.backend.with_storage(read)

    def document(self, value: object) -> Callable[[Request], Any]:
        answer = in_memory(json.dumps(value).encode(), "application/json")
        return lambda request: Sending(self.backend, answer, asked=request.scope["cu"].headers)

    async def readyz(self, _: Request) -> Response:
        """Whether calls can be taken: the queue answers, and the storage is the right one."""
        checks: list[Any] = [self.backend.with_redis(self.ledger.redis.ping)]
        checks.append(self.backend.with_storage(self.backend.check_storage))
        outcomes = await asyncio.gather(*checks, return_exceptions=True)
        reasons = [(as_problem(one) or BUG).detail for one in outcomes if isinstance(one, BaseException)]
        if reasons:
            raise Problem(503, "; ".join(reasons), headers={"retry-after": "2"}, reasons=reasons)
        return json_response({"status": "ready"})

    async def show_metrics(self, request: Request) -> Response:
        self.authorise(request.scope["cu"])
        counts, oldest = dict[str, int](), 0.0
        with contextlib.suppress(RedisError, TimeoutError):
            counts = await self.backend.with_redis(self.ledger.counts)
            oldest = await self.backend.with_redis(self.ledger.oldest_queued_seconds)
        waiting = sum(len(queues) for queues in self.waiters.queues.values())
        return self.metrics.response(counts, oldest, waiting, self.answers.bytes)


def healthz(_: Request) -> Response:
    return json_response({"status": "ok"})


def to_docs(_: Request) -> Response:
    return RedirectResponse("docs")


def page(name: str, media_type: str) -> Callable[[Request], Response]:
    content = files("cu").joinpath("docs", name).read_bytes()
    return lambda request: Response(content, headers=PAGE_HEADERS, media_type=media_type)


def file_response(file: File, status: int) -> Response:
    location = f"/v1/files/{file.sha256}"
    value = {"$file": file.sha256, "size": file.size, "name": file.name, "location": location}
    return json_response(value, status, {"location": location, "etag": f'"{file.sha256}"'})


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_strangers(headers: Mapping[bytes, bytes]) -> None:
    """Without tokens only this machine is served, and no other site's page in a browser on it."""
    host = re.sub(r":[0-9]+$", "", headers.get(b"host", b"").decode("latin-1")).strip("[]")
    if not is_loopback(host) or headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
        raise Problem(403, "without an API token this service answers only requests to localhost from itself")


def request_id(given: bytes) -> str:
    """The client's, if it is a plain one, so that its logs and ours can be matched."""
    return given.decode() if re.fullmatch(rb"[A-Za-z0-9._-]{1,64}", given) else secrets.token_hex(8)


def is_sha256(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def wants_raw(accept: bytes) -> bool:
    """Whether a client would rather have bytes than JSON."""
    return accept.startswith((b"application/octet-stream", b"application/x-npy"))


def preferred_wait(prefer: bytes) -> float:
    """Seconds of `Prefer: wait=N` (RFC 7240)."""
    match = re.search(rb"(?:^|[,;\s])wait=([0-9]{1,6})", prefer)
    return min(float(match[1]), MOST_WAIT_SECONDS) if match else 0.0


def asked_wait(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
        raise Problem(422, f"wait={text!r} is not a number of seconds")
    return min(float(text), MOST_WAIT_SECONDS)
