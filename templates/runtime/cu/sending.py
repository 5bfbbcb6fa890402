"""Answers on the wire: whole, in a range, or not at all when the client has it (RFC 9110, 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from .answers import Answer, Headers
from .backend import Backend
from .problems import Problem
from .store import StorageError

CHUNK_BYTES = 256 * 1024


class Sending:
    """A response made of an answer; with the headers that a GET `asked` with, it may be a part or nothing."""

    def __init__(
        self,
        backend: Backend,
        answer: Answer,
        *,
        extra: Headers | None = None,
        asked: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.backend = backend
        self.answer = answer
        self.extra = extra or []
        self.asked = asked or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self.answer
        status, span, extra = select(answer, scope["method"], self.asked)
        headers = [*answer.headers, *extra, *self.extra]
        if answer.body is not None or not span or scope["method"] == "HEAD":
            body = answer.body if scope["method"] != "HEAD" else None
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": (body or b"")[span.start : span.stop]})
            return
        try:
            stream = await self.backend.with_storage(self.backend.store.open, answer.blob)
        except FileNotFoundError:
            raise Problem(410, "the content is not kept any more") from None
        response = StreamingResponse(chunks(self.backend, stream, span), status)
        response.raw_headers = headers
        await response(scope, receive, send)


async def chunks(backend: Backend, stream: Any, span: range) -> AsyncIterator[bytes]:
    """Bytes of an open blob, no faster than the client takes them."""
    try:
        await backend.with_storage(stream.seek, span.start)
        left = len(span)
        while left > 0:
            chunk = await backend.with_storage(stream.read, min(CHUNK_BYTES, left))
            if not chunk:
                raise StorageError("a blob is shorter than its entry says")
            left -= len(chunk)
            yield chunk
    finally:
        backend.later(stream.close)


def select(answer: Answer, method: str, asked: Mapping[bytes, bytes]) -> tuple[int, range, Headers]:
    """Status, bytes to send and further headers for a GET or HEAD, by If-None-Match, If-Range and Range."""
    etag = f'"{answer.etag}"'
    if etag in re.split(r"\s*,\s*", asked.get(b"if-none-match", b"").decode("latin-1").replace("W/", "")):
        return 304, range(0), []
    whole = range(answer.size)
    wanted: range | Literal["bad"] | None = None
    if method == "GET" and asked.get(b"if-range", etag.encode()) == etag.encode():
        wanted = read_range(asked.get(b"range", b"").decode("latin-1"), answer.size)
    if wanted == "bad":
        what = f"the range lies outside of {answer.size} bytes"
        raise Problem(416, what, headers={"content-range": f"bytes */{answer.size}"})
    if wanted is None:
        return 200, whole, [(b"content-length", str(answer.size).encode())]
    span = f"bytes {wanted.start}-{wanted.stop - 1}/{answer.size}"
    return 206, wanted, [(b"content-length", str(len(wanted)).encode()), (b"content-range", span.encode())]


def read_range(text: str, size: int) -> range | Literal["bad"] | None:
    """`bytes=2-5`, `bytes=2-`, `bytes=-5`. None: not a single range of bytes, which counts as none at all."""
    match = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", text)
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        return range(max(0, size - int(last)), size) if int(last) and size else "bad"
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1 if last else size)) if int(first) < size else "bad"
