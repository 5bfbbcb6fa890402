"""Results in the form that a function asks for, and the small ones of them kept ready to be sent."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import quote

from . import codec
from .api import RedisStore
from .store import Entry, Store

Headers = list[tuple[bytes, bytes]]

SMALL_BYTES = 256 * 1024
"""Answers up to this size are kept ready to send; bigger ones are streamed from the storage."""
KEPT_BYTES = 64 * 1024 * 1024
KEPT_SECONDS = 60.0
RAW_CODECS = frozenset({"file", "bytes", "npy"})
# What a function returns may be HTML: a browser must not guess that, nor let it act as a page of ours.
SAFE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
]


@dataclass
class Answer:
    """A result ready to be sent: its `body`, or the `blob` that is streamed."""

    media_type: str
    size: int
    etag: str
    body: bytes | None
    blob: str
    name: str = ""
    expires: float | None = None

    def __post_init__(self) -> None:
        self.headers: Headers = [
            (b"content-type", self.media_type.encode("latin-1", "replace")),
            (b"etag", f'"{self.etag}"'.encode()),
            (b"accept-ranges", b"bytes"),
            *SAFE,
        ]
        if self.name:
            self.headers.append((b"content-disposition", disposition(self.name)))


def in_memory(body: bytes, media_type: str, name: str = "", expires: float | None = None) -> Answer:
    return Answer(media_type, len(body), hashlib.sha256(body).hexdigest(), body, "", name, expires)


def disposition(name: str) -> bytes:
    """Content-Disposition of a download (RFC 6266): no path, no control characters, in UTF-8 if need be."""
    name = re.sub(r'[\x00-\x1f\x7f"\\]', "_", name.replace("\\", "/").rpartition("/")[2])[:200]
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    return f'attachment; filename="{plain}"{extended}'.encode()


def answer_for(entry: Entry, serve: str, is_raw_wanted: bool, store: Store | RedisStore) -> Answer:
    """A result as HTTP sends it. Reads from the storage, so it runs in a thread.

    `serve` is the function's: value (JSON, or bytes if the client prefers those), file, reference, or auto:
    bytes, files and arrays as bytes, the rest as JSON. Files that the answer names can then be fetched.
    """
    is_raw = serve == "file" or (entry.codec in RAW_CODECS and (serve == "auto" or is_raw_wanted))
    if entry.codec == "pickle" or serve == "reference" or (entry.codec == "file" and not is_raw):
        return reference(entry, store)
    if is_raw:
        return raw(entry, store)
    data = entry.inline if entry.inline is not None else store.read(str(entry.blob))
    if entry.codec != "json":
        try:
            data = json.dumps(codec.to_json(codec.decode(entry.codec, data))).encode()
        except TypeError:
            # Too large an array, or what has no form in JSON: its bytes then.
            return raw(entry, store)
    for sha256 in entry.files:
        publish(store, sha256, "")
    return in_memory(data, "application/json", expires=entry.expires)


def raw(entry: Entry, store: Store | RedisStore) -> Answer:
    name = file_name(entry)
    if entry.inline is not None:
        return in_memory(entry.inline, entry.media_type, name, entry.expires)
    sha256 = str(entry.blob)
    is_kept = entry.size <= SMALL_BYTES or isinstance(store, RedisStore)
    body = store.read(sha256) if is_kept else None
    return Answer(entry.media_type, entry.size, sha256, body, sha256, name, entry.expires)


def reference(entry: Entry, store: Store | RedisStore) -> Answer:
    """Where a result is, instead of the result; as `$file` it can be an argument of the next call."""
    value: dict[str, object] = {"$result": entry.key, "media_type": entry.media_type, "size": entry.size}
    if entry.codec != "pickle" and isinstance(store, Store):
        sha256 = entry.blob or store.put_bytes(entry.inline or b"")
        publish(store, sha256, file_name(entry))
        value = {"$file": sha256, "name": file_name(entry), **value, "location": f"/v1/files/{sha256}"}
    return in_memory(json.dumps(value).encode(), "application/json", expires=entry.expires)


def publish(store: Store | RedisStore, sha256: str, name: str) -> None:
    """Count a blob as an upload: whoever was given its id may fetch it, and it is purged as uploads are."""
    if not isinstance(store, Store):
        return
    if not store.has_upload(sha256):
        store.record_upload(sha256, store.size(sha256) or 0, name)
    store.used("uploads", sha256)


def file_name(entry: Entry) -> str:
    known = ".npy" if entry.codec == "npy" else mimetypes.guess_extension(entry.media_type)
    return f"{entry.name.rpartition('.')[2]}{known or ''}"


class Answers:
    """Small answers by the key of their call, ready to send; the least recently used go first.

    Each is read anew from the storage after a minute, because it may have been purged or replaced there.
    """

    def __init__(self, most_bytes: int = KEPT_BYTES, most_seconds: float = KEPT_SECONDS) -> None:
        self.most_bytes = most_bytes
        self.most_seconds = most_seconds
        self.bytes = 0
        self._kept: OrderedDict[tuple[str, bool], tuple[Answer, float]] = OrderedDict()

    def get(self, key: tuple[str, bool]) -> Answer | None:
        answer, until = self._kept.get(key, (None, 0.0))
        if answer is None:
            return None
        if until <= time.time():
            self._remove(key)
            return None
        self._kept.move_to_end(key)
        return answer

    def put(self, key: tuple[str, bool], answer: Answer) -> None:
        if answer.body is None or answer.size > SMALL_BYTES:
            return
        if key in self._kept:
            self._remove(key)
        until = time.time() + self.most_seconds
        self._kept[key] = answer, until if answer.expires is None else min(until, answer.expires)
        self.bytes += cost(answer)
        while self.bytes > self.most_bytes:
            self._remove(next(iter(self._kept)))

    def _remove(self, key: tuple[str, bool]) -> None:
        self.bytes -= cost(self._kept.pop(key)[0])


def cost(answer: Answer) -> int:
    """Bytes that an answer takes in memory, its headers and its place in the table included (about 2 KiB)."""
    return answer.size + 2048
