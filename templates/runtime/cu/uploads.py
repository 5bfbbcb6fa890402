"""What comes in over HTTP: bodies within their limits, and files that go to the storage while they arrive."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from . import codec
from .backend import Backend
from .codec import File
from .manifest import ArgumentErrors, Function
from .problems import Problem
from .store import BlobWriter, Store

JSON_BYTES = 1 << 20
BATCH_BYTES = 1 << 20
MOST_PARTS = 256
MOST_DEPTH = 64
FORM_OVERHEAD_BYTES = 1 << 20


async def batches(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> AsyncIterator[bytes]:
    """The body in pieces that are worth the hop to a thread; Problem 413 beyond `limit` bytes."""
    length = headers.get(b"content-length", b"")
    total = int(length) if length.isdigit() else 0
    if total > limit:
        raise too_large(limit)
    received, batch, has_more = 0, bytearray(), True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        batch += message.get("body", b"")
        has_more = message.get("more_body", False)
        if received + len(batch) > limit:
            raise too_large(limit)
        if len(batch) >= BATCH_BYTES:
            received += len(batch)
            yield bytes(batch)
            batch.clear()
    if batch:
        yield bytes(batch)


def too_large(limit: int) -> Problem:
    return Problem(413, f"the body is larger than {limit} bytes, the most that is taken here")


def read_object(body: bytes) -> dict[str, object]:
    """A body as a JSON object; an empty one has no arguments."""
    try:
        value = decode_json(body.decode()) if body else {}
        if body.count(b"[") + body.count(b"{") > MOST_DEPTH:
            check_depth(value)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Problem(400, 'the body is not a JSON object of arguments, such as {"zoom": 3}')
    return value


def check_depth(value: object) -> None:
    level: list[Any] = [value] if isinstance(value, list | dict) else []
    for _ in range(MOST_DEPTH):
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [child for items in inner for child in items if isinstance(child, list | dict)]
        if not level:
            return
    raise ValueError(f"it is nested more than {MOST_DEPTH} levels deep")


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


decode_json = json.JSONDecoder(parse_constant=refuse_constant).decode


class Form:
    """A multipart/form-data body, taken apart as it arrives (RFC 7578); runs in a thread, piece by piece.

    Parts with a file name go to the storage while they are hashed, the others are kept as text.
    """

    def __init__(self, content_type: bytes, store: Store, limit: int) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise Problem(400, "multipart/form-data without a boundary")
        self.store = store
        self.limit = limit
        self.files: list[tuple[str, File]] = []
        self.texts: list[tuple[str, str]] = []
        self._text_bytes = 0
        self._stack = ExitStack()
        self._writer: BlobWriter | None = None
        self._is_complete = False
        self._start_part()
        callbacks: Any = {
            "on_part_begin": self._start_part,
            "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": self._take,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise Problem(400, f"the multipart body cannot be read: {error}") from error

    def feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise Problem(400, f"the multipart body cannot be read: {error}") from error

    def finish(self) -> None:
        if not self._is_complete:
            raise Problem(400, "the multipart body ends before its last boundary")

    def close(self) -> None:
        """Forget a file that is half written."""
        self._stack.close()

    def _start_part(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value, self._text = bytearray(), bytearray(), bytearray()

    def _end_header(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field, self._value = bytearray(), bytearray()

    def _open_part(self) -> None:
        options = parse_options_header(self._headers.get(b"content-disposition"))[1]
        if b"name" not in options:
            raise Problem(400, "a part of the multipart body has no name")
        if len(self.files) + len(self.texts) >= MOST_PARTS:
            raise Problem(413, f"more than {MOST_PARTS} parts")
        self._name = options[b"name"].decode("utf-8", "replace")
        self._file_name = options.get(b"filename", b"").decode("utf-8", "replace")
        if b"filename" in options:
            self._writer = self._stack.enter_context(self.store.writer(limit=self.limit))

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._writer is not None:
            self._writer.write(data[start:end])
            return
        self._text_bytes += end - start
        if self._text_bytes > JSON_BYTES:
            raise Problem(413, f"the parts that are not files are larger than {JSON_BYTES} bytes")
        self._text += data[start:end]

    def _end_part(self) -> None:
        if self._writer is None:
            self.texts.append((self._name, self._text.decode("utf-8", "replace")))
            return
        sha256, size = self._writer.commit()
        self._stack.close()
        self._writer = None
        self.store.record_upload(sha256, size, self._file_name)
        self.files.append((self._name, File(sha256, size, self._file_name)))

    def _end(self) -> None:
        self._is_complete = True


def read_text(text: str, schema: Mapping[str, Any]) -> object:
    """A part of a form: JSON if it is, else the text; where text is asked for, `1` is text too."""
    try:
        value = decode_json(text)
        check_depth(value)
    except (ValueError, RecursionError):
        return text
    return text if schema.get("type") == "string" and not isinstance(value, str) else value


async def receive_form(backend: Backend, receive: Receive, headers: Mapping[bytes, bytes]) -> Form:
    backend.need_files()
    limit = backend.settings.max_upload_bytes
    form = await backend.with_storage(Form, headers.get(b"content-type", b""), backend.store, limit)
    try:
        async for batch in batches(receive, headers, limit + FORM_OVERHEAD_BYTES):
            await backend.with_storage(form.feed, batch)
        form.finish()
    except OverflowError:
        raise too_large(limit) from None
    finally:
        backend.later(form.close)
    return form


async def receive_file(
    backend: Backend, receive: Receive, headers: Mapping[bytes, bytes], expected: str | None = None
) -> File:
    """Stream a body into the storage while it is hashed; nothing stays unless its SHA-256 is as expected."""
    backend.need_files()
    limit = backend.settings.max_upload_bytes
    stack = ExitStack()
    writer = await backend.with_storage(stack.enter_context, backend.store.writer(limit=limit))
    try:
        async for batch in batches(receive, headers, limit):
            await backend.with_storage(writer.write, batch)
        sha256, size = await backend.with_storage(writer.commit, expected)
    except ValueError as error:
        raise Problem(422, f"{error}: it was damaged on the way, or the path names another file") from error
    finally:
        backend.later(stack.close)
    await backend.with_storage(backend.store.record_upload, sha256, size, "")
    return File(sha256, size)


def bind_json(function: Function, body: bytes) -> tuple[dict[str, Any], str]:
    """The arguments of a call, and its key."""
    return bind(function, read_object(body))


def bind_form(function: Function, form: Form) -> tuple[dict[str, Any], str]:
    """The same of a form; parts with one name are a list."""
    values: dict[str, list[object]] = {}
    for name, text in form.texts:
        schema = function.by_name[name].schema if name in function.by_name else {}
        values.setdefault(name, []).append(read_text(text, schema))
    for name, file in form.files:
        values.setdefault(name, []).append(file)
    return bind(function, {name: many[0] if len(many) == 1 else many for name, many in values.items()})


def bind(function: Function, values: Mapping[str, object]) -> tuple[dict[str, Any], str]:
    given: dict[str, Any] = {}
    errors: list[tuple[str, str]] = []
    for name, value in values.items():
        try:
            given[name] = codec.from_json(value)
        except (ValueError, TypeError, KeyError) as error:
            errors.append((name, str(error)))
    if errors:
        raise ArgumentErrors(errors)
    arguments = function.bind(given)
    return arguments, function.key(arguments)
