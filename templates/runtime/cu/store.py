"""The shared storage: results by their call's key, bytes by their own digest, on any filesystem that fsspec knows.

Below ROOT/PROJECT-ENV: cu-storage.json (the marker), blobs/AB/SHA256, index/AB/KEY, uploads/AB/SHA256, used/KIND/AB/ID,
trash/, tmp/. A blob never changes; an entry is written after what it refers to.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

import msgpack

FORMAT = 1
MARKER = "cu-storage.json"
CHUNK = 1 << 20
MARKER_CHECK_SECONDS = 2.0
USED_SECONDS = 3600.0
KINDS = ("index", "blobs", "uploads")


class StorageError(Exception):
    """The storage cannot be used; the message says why, and what to do."""


@dataclass(frozen=True)
class Entry:
    """A result in the index. Times are unix seconds, sizes bytes; small results lie in `inline`, others in `blob`."""

    key: str
    name: str
    version: str
    codec: str
    media_type: str
    blob: str | None
    size: int
    inline: bytes | None
    files: tuple[str, ...]
    created: float
    expires: float | None
    node: str
    seconds: float


def checked(id_: str) -> str:
    """A SHA-256 in hex, or a ValueError: nothing else becomes part of a path."""
    if len(id_) != 64 or set(id_) - set("0123456789abcdef"):
        raise ValueError(f"{id_!r:.80} is not a SHA-256 of 64 hex digits")
    return id_


def place(kind: str, id_: str) -> str:
    return f"{kind}/{checked(id_)[:2]}/{id_}"


class LocalDisk:
    """A directory that hosts may share. What is written appears whole or not at all."""

    is_local = True

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        return (self.root / name).open("rb")

    def size(self, name: str) -> int | None:
        try:
            return (self.root / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes, *, exclusive: bool = False) -> None:
        with self.temporary() as stream:
            stream.write(data)
            self.place(stream, name, exclusive=exclusive)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[BinaryIO]:
        """A file on the same filesystem, gone at the end unless it was placed."""
        directory = self.root / "tmp"
        path = directory / secrets.token_hex(12)
        try:
            stream = path.open("xb")
        except FileNotFoundError:
            self.make(directory)
            stream = path.open("xb")
        try:
            yield cast(BinaryIO, stream)
        finally:
            stream.close()
            path.unlink(missing_ok=True)

    def place(self, stream: BinaryIO, name: str, *, exclusive: bool = False) -> None:
        target = self.root / name
        stream.flush()
        os.fsync(stream.fileno())
        os.fchmod(stream.fileno(), 0o444)
        try:
            self.move(Path(stream.name), target, exclusive)
        except FileNotFoundError:
            self.make(target.parent)
            self.move(Path(stream.name), target, exclusive)

    def move(self, source: Path, target: Path, exclusive: bool) -> None:
        if exclusive:
            os.link(source, target)
        else:
            os.replace(source, target)

    def make(self, directory: Path) -> None:
        """Folders that every user of the same group may write to, as far as the umask lets it."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o775)

    def rename(self, source: str, target: str) -> None:
        try:
            os.rename(self.root / source, self.root / target)
        except FileNotFoundError:
            self.make((self.root / target).parent)
            os.rename(self.root / source, self.root / target)

    def remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def names(self, folder: str) -> Iterator[str]:
        """Plain files below a folder, by their names relative to the root; links are never followed."""
        pending = [folder]
        while pending:
            directory = pending.pop()
            try:
                found = sorted(os.scandir(self.root / directory), key=lambda one: one.name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            for one in found:
                if one.is_dir(follow_symlinks=False):
                    pending.append(f"{directory}/{one.name}")
                elif one.is_file(follow_symlinks=False):
                    yield f"{directory}/{one.name}"

    def modified(self, name: str) -> float | None:
        try:
            return (self.root / name).stat(follow_symlinks=False).st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return None

    def touch(self, name: str) -> None:
        path = self.root / name
        try:
            path.touch()
        except FileNotFoundError:
            self.make(path.parent)
            path.touch()


class RemoteDisk:
    """An object store or another filesystem of fsspec: what is put is there as a whole after one call."""

    is_local = False

    def __init__(self, filesystem: Any, root: str) -> None:
        self.filesystem = filesystem
        self.root = root.rstrip("/")

    def full(self, name: str) -> str:
        return f"{self.root}/{name}"

    def read(self, name: str) -> bytes:
        return bytes(self.filesystem.cat_file(self.full(name)))

    def open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, self.filesystem.open(self.full(name), "rb"))

    def size(self, name: str) -> int | None:
        try:
            return int(self.filesystem.info(self.full(name))["size"])
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes, *, exclusive: bool = False) -> None:
        if exclusive and self.size(name) is not None:
            raise FileExistsError(name)
        self.filesystem.pipe_file(self.full(name), data)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[BinaryIO]:
        import tempfile

        with tempfile.NamedTemporaryFile(prefix="cu-") as stream:
            yield cast(BinaryIO, stream)

    def place(self, stream: BinaryIO, name: str, *, exclusive: bool = False) -> None:
        stream.flush()
        partial = f"{self.root}/tmp/{secrets.token_hex(12)}"
        target = self.full(name)
        if hasattr(self.filesystem, "mkdirs"):
            self.filesystem.mkdirs(target.rpartition("/")[0], exist_ok=True)
        if isinstance(self.filesystem.protocol, str | tuple) and "s3" in self.filesystem.protocol:
            # One put of an object store is atomic; a move there would be a copy.
            self.filesystem.put_file(stream.name, target)
            return
        self.filesystem.mkdirs(partial.rpartition("/")[0], exist_ok=True)
        self.filesystem.put_file(stream.name, partial)
        self.filesystem.mv(partial, target)

    def rename(self, source: str, target: str) -> None:
        self.filesystem.mkdirs(self.full(target).rpartition("/")[0], exist_ok=True)
        self.filesystem.mv(self.full(source), self.full(target))

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.rm_file(self.full(name))

    def names(self, folder: str) -> Iterator[str]:
        try:
            found = self.filesystem.find(self.full(folder))
        except FileNotFoundError:
            return
        prefix = str(self.filesystem._strip_protocol(self.root)).rstrip("/") + "/"
        for name in sorted(found):
            yield str(name).removeprefix(prefix)

    def modified(self, name: str) -> float | None:
        try:
            info = self.filesystem.info(self.full(name))
        except FileNotFoundError:
            return None
        for field in ("LastModified", "mtime", "created"):
            moment = info.get(field)
            if moment is not None:
                return float(moment.timestamp() if hasattr(moment, "timestamp") else moment)
        return None

    def touch(self, name: str) -> None:
        self.write(name, str(time.time()).encode())


class Store:
    """The storage of one project and environment."""

    def __init__(self, url: str, namespace: str, *, cache_dir: Path, cache_bytes: int) -> None:
        self.url = url
        self.namespace = namespace
        self.disk: LocalDisk | RemoteDisk
        if "://" not in url or url.startswith("file://"):
            path = unquote(urlsplit(url).path) if "://" in url else url
            self.disk = LocalDisk(Path(path) / namespace)
        else:
            from fsspec.core import url_to_fs

            try:
                filesystem, root = url_to_fs(url)
            except (ImportError, ValueError) as error:
                raise StorageError(f"storage {url}: {error}; add the package to requirements.txt") from error
            self.disk = RemoteDisk(filesystem, f"{root}/{namespace}")
        self.cache = LocalCache(cache_dir, cache_bytes)
        self._id: str | None = None
        self._checked = 0.0
        self._marker: tuple[int, int] | None = None
        self._touched: dict[str, float] = {}

    # ---- the marker

    def attach(self, expected_id: str | None, *, adopt: bool = False) -> str:
        """Prove that the storage is there and the right one; returns its id.

        Without `expected_id` a storage that has none gets a marker. With it, a missing or other marker is a StorageError,
        unless `adopt` says that the one which is there now counts.
        """
        found = self._read_marker()
        if found is None and (expected_id is None or adopt):
            self._make_marker()
            found = self._read_marker()
        if found is None:
            raise StorageError(
                f"the storage {self.url} is not the one of {self.namespace}: its marker {self.namespace}/{MARKER} is "
                "missing. Is it mounted on this host? If it was emptied on purpose: `python -m cu doctor --new-storage`"
            )
        if expected_id is not None and found != expected_id and not adopt:
            raise StorageError(
                f"the storage {self.url} is another one than before: its marker says {found[:8]}, expected was "
                f"{expected_id[:8]}. Mount the right one; if this is right from now on: `python -m cu doctor --new-storage`"
            )
        self._id = found
        self._checked = time.monotonic()
        self._marker = self._marker_identity()
        return found

    def _read_marker(self) -> str | None:
        try:
            data = json.loads(self.disk.read(MARKER))
            if data["namespace"] != self.namespace:
                raise StorageError(
                    f"the storage {self.url}/{self.namespace} belongs to {data['namespace']}: it was copied or mounted "
                    "to the wrong place"
                )
            return str(data["id"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"the marker {self.url}/{self.namespace}/{MARKER} cannot be read: {error}") from error
        except OSError as error:
            raise self._explain(error, "read") from error

    def _make_marker(self) -> None:
        marker = {"format": FORMAT, "id": uuid.uuid4().hex, "namespace": self.namespace}
        if isinstance(self.disk, LocalDisk) and not self.disk.root.parent.is_dir():
            raise StorageError(
                f"the storage {self.url} does not exist on this host: create or mount {self.disk.root.parent}"
            )
        try:
            self.disk.write(MARKER, json.dumps(marker).encode(), exclusive=True)
        except FileExistsError:
            return
        except OSError as error:
            raise self._explain(error, "write") from error

    def _marker_identity(self) -> tuple[int, int] | None:
        if not isinstance(self.disk, LocalDisk):
            return None
        try:
            facts = os.stat(self.disk.root / MARKER)
        except OSError:
            return (0, 0)
        return facts.st_dev, facts.st_ino

    def check(self) -> None:
        """Before every write: an unmounted directory must not be taken for the storage."""
        if self._id is None:
            raise StorageError(f"the storage {self.url} was not attached")
        if self.disk.is_local:
            if self._marker_identity() == self._marker:
                return
        elif time.monotonic() - self._checked < MARKER_CHECK_SECONDS:
            return
        self.attach(self._id)

    def _explain(self, error: OSError, what: str) -> StorageError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageError(f"the storage {self.url} is full: {error.strerror}. Free some with `cu purge cache`")
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            where = f"{self.disk.root}" if self.disk.is_local else self.url
            return StorageError(
                f"may not {what} the storage {where} as uid {os.getuid()}: {error.strerror}. Give that user the "
                "directory, or run the service as a user who has it"
            )
        return StorageError(f"cannot {what} the storage {self.url}: {error}")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        self.check()
        try:
            yield
        except OSError as error:
            raise self._explain(error, "write") from error

    # ---- blobs

    def put_bytes(self, data: bytes) -> str:
        """Keep bytes; returns their SHA-256, under which they are found from now on."""
        sha256 = hashlib.sha256(data).hexdigest()
        name = place("blobs", sha256)
        if self.disk.size(name) != len(data):
            with self._writing():
                self.disk.write(name, data)
        return sha256

    def put_path(self, path: Path) -> tuple[str, int]:
        """Keep a copy of a local file; returns its SHA-256 and size."""
        with self.writer() as writer, path.open("rb") as source:
            while chunk := source.read(CHUNK):
                writer.write(chunk)
            return writer.commit()

    def writer(self, *, limit: int | None = None) -> BlobWriter:
        """For what arrives in pieces; use it in a `with`, and `commit` at the end."""
        return BlobWriter(self, limit)

    def has(self, sha256: str) -> bool:
        return self.size(sha256) is not None

    def size(self, sha256: str) -> int | None:
        return self.disk.size(place("blobs", sha256))

    def read(self, sha256: str) -> bytes:
        return self.disk.read(place("blobs", sha256))

    def open(self, sha256: str) -> BinaryIO:
        """A seekable stream of a blob."""
        if isinstance(self.disk, LocalDisk):
            return self.disk.open(place("blobs", sha256))
        with self.local(sha256) as path:
            # An open file outlives its eviction from the cache.
            return path.open("rb")

    @contextlib.contextmanager
    def local(self, sha256: str) -> Iterator[Path]:
        """A local path of a blob, which stays as long as the `with` lasts. It must not be written to."""
        if isinstance(self.disk, LocalDisk):
            yield self.disk.root / place("blobs", sha256)
            return
        with self.cache.pinned(checked(sha256), lambda target: self._fetch(sha256, target)) as path:
            yield path

    def _fetch(self, sha256: str, target: Path) -> None:
        with self.disk.open(place("blobs", sha256)) as source, target.open("wb") as out:
            shutil.copyfileobj(source, out, CHUNK)

    # ---- the index

    def put_entry(self, entry: Entry) -> None:
        with self._writing():
            self.disk.write(place("index", entry.key), dump(entry))

    def get_entry(self, key: str) -> Entry | None:
        """The result of a call; None when there is none, it expired, cannot be read, or its bytes are gone."""
        entry = self.read_entry(key)
        if entry is None or (entry.expires is not None and entry.expires <= time.time()):
            return None
        if entry.blob is not None and not self.has(entry.blob):
            return None
        return entry

    def read_entry(self, key: str) -> Entry | None:
        """The entry whatever its age."""
        try:
            return parse(key, self.disk.read(place("index", key)))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def entries(self) -> Iterator[tuple[str, Entry | None]]:
        """Every key of the index, with None for an entry that cannot be read."""
        for name in self.disk.names("index"):
            key = name.rpartition("/")[2]
            with contextlib.suppress(ValueError):
                if name == place("index", key):
                    yield key, self.read_entry(key)

    # ---- uploads and last use

    def record_upload(self, sha256: str, size: int, name: str) -> None:
        with self._writing():
            record = {"size": size, "name": name, "time": time.time()}
            self.disk.write(place("uploads", sha256), json.dumps(record).encode())

    def has_upload(self, sha256: str) -> bool:
        return self.disk.size(place("uploads", sha256)) is not None

    def upload(self, sha256: str) -> dict[str, Any] | None:
        try:
            return cast("dict[str, Any]", json.loads(self.disk.read(place("uploads", sha256))))
        except (FileNotFoundError, ValueError):
            return None

    def uploads(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        for name in self.disk.names("uploads"):
            sha256 = name.rpartition("/")[2]
            with contextlib.suppress(ValueError):
                if name == place("uploads", sha256):
                    yield sha256, self.upload(sha256)

    def used(self, kind: str, id_: str) -> None:
        """Remember that something was of use just now; at most once an hour it is written down."""
        name = f"used/{place(kind, id_)}"
        now = time.monotonic()
        if now - self._touched.get(name, -USED_SECONDS) < USED_SECONDS:
            return
        if len(self._touched) > 100_000:
            self._touched.clear()
        self._touched[name] = now
        with contextlib.suppress(OSError, StorageError):
            self.check()
            self.disk.touch(name)

    def last_used(self, kind: str, id_: str) -> float | None:
        """Unix seconds, an hour exact; None when nothing was written down."""
        return self.disk.modified(f"used/{place(kind, id_)}")


def dump(entry: Entry) -> bytes:
    return bytes(msgpack.packb({"format": FORMAT, **asdict(entry)}, use_bin_type=True))


def parse(key: str, data: bytes) -> Entry | None:
    try:
        fields = msgpack.unpackb(data, raw=False)
        if fields.pop("format") != FORMAT or fields["key"] != key:
            return None
        return Entry(**{**fields, "files": tuple(fields["files"])})
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.exceptions.UnpackException):
        return None


class BlobWriter:
    """Takes bytes in pieces, and hashes them on the way."""

    def __init__(self, store: Store, limit: int | None) -> None:
        self.store = store
        self.limit = limit
        self.size = 0
        self.hashed = hashlib.sha256()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> BlobWriter:
        with self.store._writing():
            self.stream = self._stack.enter_context(self.store.disk.temporary())
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._stack.close()

    def write(self, chunk: bytes | memoryview) -> None:
        """OverflowError when it gets more than the limit."""
        self.size += len(chunk)
        if self.limit is not None and self.size > self.limit:
            raise OverflowError(f"more than {self.limit} bytes")
        self.hashed.update(chunk)
        try:
            self.stream.write(chunk)
        except OSError as error:
            raise self.store._explain(error, "write") from error

    def commit(self, expected: str | None = None) -> tuple[str, int]:
        """Make it a blob; ValueError when its digest is not the expected one."""
        sha256 = self.hashed.hexdigest()
        if expected is not None and expected != sha256:
            raise ValueError(f"the content has the SHA-256 {sha256}, not {expected}")
        name = place("blobs", sha256)
        with self.store._writing():
            if self.store.disk.size(name) != self.size:
                self.store.disk.place(self.stream, name)
        return sha256, self.size


class LocalCache:
    """Local copies of blobs, least recently used first to go. Look-ups are O(1); what is in use stays."""

    def __init__(self, directory: Path, most_bytes: int) -> None:
        self.directory = directory
        self.most_bytes = most_bytes
        self.bytes = 0
        self.sizes: OrderedDict[str, int] = OrderedDict()
        self.pins: dict[str, int] = {}
        self.locks: dict[str, threading.Lock] = {}
        self.lock = threading.Lock()
        self._is_read = False

    @contextlib.contextmanager
    def pinned(self, id_: str, fetch: Any) -> Iterator[Path]:
        """The path of a copy, fetched by `fetch(path)` when it is not there."""
        path = self._path(id_)
        with self.lock:
            self._read_directory()
            self.pins[id_] = self.pins.get(id_, 0) + 1
            one = self.locks.setdefault(id_, threading.Lock())
        try:
            with one:
                if not path.exists():
                    self._get(id_, path, fetch)
                else:
                    with self.lock:
                        self._note(id_, path)
            yield path
        finally:
            with self.lock:
                self.pins[id_] -= 1
                if self.pins[id_] == 0:
                    del self.pins[id_]
                    self.locks.pop(id_, None)
                self._evict()

    def _path(self, id_: str) -> Path:
        return self.directory / str(os.getpid()) / id_

    def _get(self, id_: str, path: Path, fetch: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            fetch(partial)
            partial.chmod(0o444)
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)
        with self.lock:
            self._note(id_, path)
            self._evict()

    def _note(self, id_: str, path: Path) -> None:
        if id_ not in self.sizes:
            self.sizes[id_] = path.stat().st_size
            self.bytes += self.sizes[id_]
        self.sizes.move_to_end(id_)

    def _evict(self) -> None:
        for id_ in list(self.sizes) if self.bytes > self.most_bytes else []:
            if self.bytes <= self.most_bytes:
                return
            if id_ not in self.pins:
                self._path(id_).unlink(missing_ok=True)
                self.bytes -= self.sizes.pop(id_)

    def _read_directory(self) -> None:
        """Each process has a folder; those of processes that are gone go too."""
        if self._is_read:
            return
        self._is_read = True
        for folder in self.directory.iterdir() if self.directory.is_dir() else []:
            if folder.name.isdigit() and not Path("/proc", folder.name).exists():
                shutil.rmtree(folder, ignore_errors=True)


