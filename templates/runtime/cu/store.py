"""The shared storage: results by the key of their call, bytes by their own digest.

Below ROOT/PROJECT-ENV: cu-storage.json (the marker), blobs/AB/SHA256, index/AB/KEY, uploads/AB/SHA256,
used/index|blobs/AB/ID (empty; its time is that of the last use), trash/PLAN/..., tmp/. A blob never
changes, and an entry is written after the blobs that it names. Links are never followed: on a local root
each folder is opened with O_NOFOLLOW and then named by its descriptor (openat(2)), so that none can be
swapped for a link meanwhile.

Purging may run at the same time. Who is about to refer to a blob, or was given an entry, first writes down
its use and then looks whether it is there still; purging first moves it away and then looks for a use. So
one always sees the other.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import secrets
import stat
import tempfile
import threading
import time
import uuid
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import msgpack

FORMAT = 1
MARKER = "cu-storage.json"
ADOPT_HINT = "if what is there is right from now on: `python -m cu doctor --new-storage`"
CHUNK_BYTES = 1 << 20
PIPED_BYTES = 8 << 20
"""What is put into an object store from memory, with one request."""
MARKER_SECONDS = 2.0
USED_SECONDS = 3600.0
"""A use is written down at most this often."""
REFRESH_SECONDS = 10.0
DEPTH = 5
"""Folders below the root: trash/PLAN/used/index/AB."""

OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
OPEN_FOLDER = OPEN | os.O_DIRECTORY
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO})
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
ONE_PUT = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"})
"""Object stores: what is put appears as a whole, and a rename is a copy."""

Kind = Literal["index", "blobs", "uploads"]


class StorageError(Exception):
    """The storage cannot be used; the message says what, where, and what to do."""


class NewerFormat(ValueError):
    """An entry that a newer version wrote."""


@dataclass(frozen=True)
class Entry:
    """A result in the index; a small one lies in `inline`. Times are unix seconds, sizes bytes."""

    key: str
    name: str
    version: str
    codec: str
    media_type: str
    blob: str | None
    size: int
    inline: bytes | None
    files: tuple[str, ...]
    """The SHA-256 of every file within the value."""
    created: float
    expires: float | None
    node: str
    seconds: float

    @property
    def refers_to(self) -> frozenset[str]:
        return frozenset(self.files if self.blob is None else (*self.files, self.blob))


class Item(NamedTuple):
    """A plain file of the storage; `modified` is unix seconds by the storage's clock."""

    name: str
    size: int
    modified: float


DIGEST = re.compile("[0-9a-f]{64}")
HALF_DONE = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{16}|out-.*")


def checked(id_: str) -> str:
    """A SHA-256 in hex, or a ValueError: nothing else becomes part of a path."""
    if DIGEST.fullmatch(id_) is None:
        raise ValueError(f"{id_!r:.80} is not a SHA-256 of 64 hex digits")
    return id_


def place(kind: str, id_: str) -> str:
    return f"{kind}/{checked(id_)[:2]}/{id_}"


def parse_entry(key: str, data: bytes) -> Entry:
    """ValueError for what is damaged or lies under a wrong key, NewerFormat for what cannot be known here."""
    try:
        format_, checksum, body = msgpack.unpackb(data)
        if zlib.crc32(body) != checksum:
            raise ValueError("its checksum is wrong")
        if format_ != FORMAT:
            raise NewerFormat(f"it has format {format_}, this version knows {FORMAT}")
        fields = msgpack.unpackb(body)
        entry = Entry(**{**fields, "files": tuple(fields["files"])})
    except (TypeError, KeyError, msgpack.UnpackException) as error:
        raise ValueError(f"it is damaged: {error}") from error
    if entry.key != key:
        raise ValueError(f"it is the entry of {entry.key!r:.80}")
    for sha256 in entry.refers_to:
        checked(sha256)
    return entry


def dump_entry(entry: Entry) -> bytes:
    body = msgpack.packb(asdict(entry))
    return bytes(msgpack.packb([FORMAT, zlib.crc32(body), body]))


class LocalDisk:
    """A folder that hosts and users may share. `system` is the module `os`, or one that fails in a test."""

    is_local = True

    def __init__(self, root: Path, system: Any = os) -> None:
        self.root = str(root)
        self.system = system

    @contextlib.contextmanager
    def folder(self, name: str, *, make: bool = False) -> Iterator[int]:
        """A descriptor of a folder below the root, which itself is never made here: it may be unmounted."""
        try:
            current = self.system.open(self.root, OPEN_FOLDER & ~os.O_NOFOLLOW)
        except FileNotFoundError as error:
            # Not the same as a storage in which something is missing.
            raise OSError(errno.ENODEV, "it is gone", self.root) from error
        try:
            for part in name.split("/") if name else []:
                inner = self._enter(part, current, make)
                os.close(current)
                current = inner
            yield current
        finally:
            os.close(current)

    def _enter(self, part: str, outer: int, make: bool) -> int:
        try:
            return int(self.system.open(part, OPEN_FOLDER, dir_fd=outer))
        except FileNotFoundError:
            if not make:
                raise
        with contextlib.suppress(FileExistsError):
            self.system.mkdir(part, 0o775, dir_fd=outer)
        inner = int(self.system.open(part, OPEN_FOLDER, dir_fd=outer))
        with contextlib.suppress(PermissionError):
            # For every user of the group, whatever the umask of this process.
            os.fchmod(inner, 0o2775)
        return inner

    def open(self, name: str) -> BinaryIO:
        folder, _, base = name.rpartition("/")
        try:
            with self.folder(folder) as outer:
                return cast(BinaryIO, io.FileIO(self.system.open(base, OPEN, dir_fd=outer)))
        except OSError as error:
            raise missing(error, name) from error

    def read(self, name: str) -> bytes:
        with self.open(name) as stream:
            return stream.read()

    def stat(self, name: str) -> Item | None:
        folder, _, base = name.rpartition("/")
        try:
            with self.folder(folder) as outer:
                facts = self.system.stat(base, dir_fd=outer, follow_symlinks=False)
        except OSError as error:
            if error.errno in NOT_THERE:
                return None
            raise
        return Item(name, facts.st_size, facts.st_mtime) if stat.S_ISREG(facts.st_mode) else None

    def walk(self, folder: str) -> Iterator[Item]:
        """Plain files; a link inside is passed over, but a link in place of `folder` is an error."""
        found: list[tuple[str, os.stat_result]] = []
        try:
            with self.folder(folder) as fd, self.system.scandir(fd) as listing:
                for one in listing:
                    with contextlib.suppress(FileNotFoundError):
                        found.append((f"{folder}/{one.name}", one.stat(follow_symlinks=False)))
        except FileNotFoundError:
            return
        for name, facts in found:
            if stat.S_ISREG(facts.st_mode):
                yield Item(name, facts.st_size, facts.st_mtime)
            elif stat.S_ISDIR(facts.st_mode) and name.count("/") < DEPTH:
                yield from self.walk(name)

    def temp(self) -> LocalTemp:
        return LocalTemp(self)

    def put(self, name: str, data: bytes, *, sync: bool = True) -> None:
        with contextlib.closing(self.temp()) as temp:
            temp.write(data)
            temp.publish(name, sync=sync)

    def create(self, name: str, data: bytes) -> None:
        """For the marker: makes the root too, but not what it lies in. FileExistsError when it is there."""
        with contextlib.suppress(FileExistsError):
            self.system.mkdir(self.root, 0o775)
            os.chmod(self.root, 0o2775)
        with contextlib.closing(self.temp()) as temp:
            temp.write(data)
            temp.publish(name, exclusive=True)

    def move(self, source: str, target: str) -> None:
        """FileExistsError rather than to replace a file, FileNotFoundError when there is none."""
        from_, _, old = source.rpartition("/")
        to, _, new = target.rpartition("/")
        with self.folder(from_) as here, self.folder(to, make=True) as there:
            if not stat.S_ISREG(self.system.stat(old, dir_fd=here, follow_symlinks=False).st_mode):
                raise FileNotFoundError(errno.ENOENT, "it is no plain file", source)
            if target.startswith("trash/"):
                # Others may replace what goes there at any moment, which between two steps would be lost.
                self.rename(old, new, here, there)
            else:
                self.rename_exclusively(old, new, here, there)

    def rename(self, old: str, new: str, here: int, there: int) -> None:
        """In one step; nobody else may write to where it goes."""
        with contextlib.suppress(FileNotFoundError):
            self.system.stat(new, dir_fd=there, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, "it is there already", new)
        self.system.rename(old, new, src_dir_fd=here, dst_dir_fd=there)

    def rename_exclusively(self, old: str, new: str, here: int, there: int) -> None:
        """In two steps; nobody else may write to what goes."""
        try:
            self.system.link(old, new, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            self.rename(old, new, here, there)
        else:
            self.system.unlink(old, dir_fd=here)

    def remove(self, name: str) -> None:
        folder, _, base = name.rpartition("/")
        with contextlib.suppress(FileNotFoundError), self.folder(folder) as outer:
            self.system.unlink(base, dir_fd=outer)

    def tidy(self, folder: str) -> None:
        """Remove a folder and those in it, as far as they are empty; one that stays does no harm."""
        outside, _, base = folder.rpartition("/")
        with contextlib.suppress(OSError):
            with self.folder(folder) as fd, self.system.scandir(fd) as listing:
                inner = [one.name for one in listing if one.is_dir(follow_symlinks=False)]
            for name in inner if folder.count("/") < DEPTH else []:
                self.tidy(f"{folder}/{name}")
            with self.folder(outside) as outer:
                self.system.rmdir(base, dir_fd=outer)

    def identity(self, name: str) -> object:
        """While this stays, so does the file: one stat tells."""
        try:
            facts = self.system.stat(f"{self.root}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        return facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size


class LocalTemp:
    def __init__(self, disk: LocalDisk) -> None:
        self.disk = disk
        self.name: str | None = secrets.token_hex(16)
        with disk.folder("tmp", make=True) as outer:
            self.fd = int(disk.system.open(self.name, CREATE, 0o600, dir_fd=outer))

    def write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.disk.system.write(self.fd, rest) :]

    def publish(self, name: str, *, sync: bool = True, exclusive: bool = False) -> None:
        """Fsync, then rename: a reader sees all of it or nothing, even after a loss of power."""
        system, temp = self.disk.system, cast(str, self.name)
        if sync:
            system.fsync(self.fd)
        # Blobs never change, so nobody may write to them; the other files are replaced as a whole.
        system.fchmod(self.fd, 0o444 if name.startswith("blobs/") else 0o644)
        folder, _, base = name.rpartition("/")
        with self.disk.folder("tmp") as here, self.disk.folder(folder, make=True) as there:
            if exclusive:
                self.disk.rename_exclusively(temp, base, here, there)
            else:
                system.replace(temp, base, src_dir_fd=here, dst_dir_fd=there)
        self.name = None

    def close(self) -> None:
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        if self.name is not None:
            # What cannot be removed now is purged after a day.
            with contextlib.suppress(OSError):
                self.disk.remove(f"tmp/{self.name}")


class RemoteDisk:
    """Any filesystem of fsspec; `spool` is a local folder for what is on its way there."""

    is_local = False

    def __init__(self, filesystem: Any, root: str, spool: Path) -> None:
        self.filesystem = filesystem
        self.root = str(filesystem._strip_protocol(root)).rstrip("/")
        self.spool = spool
        protocol = filesystem.protocol
        self.is_one_put = not ONE_PUT.isdisjoint({protocol} if isinstance(protocol, str) else protocol)

    def full(self, name: str) -> str:
        return f"{self.root}/{name}" if self.root else name

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A step of fsspec, whose filesystems have exceptions of their own, and listings from before."""
        try:
            self.filesystem.invalidate_cache()
            return getattr(self.filesystem, method)(*arguments, **options)
        except OSError as error:
            raise missing(error, str(arguments[0])) from error
        except Exception as error:
            raise OSError(errno.EIO, f"{type(error).__name__}: {error}", str(arguments[0])) from error

    def read(self, name: str) -> bytes:
        return bytes(self.call("cat_file", self.full(name)))

    def open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, self.call("open", self.full(name), "rb"))

    def stat(self, name: str) -> Item | None:
        try:
            facts = self.call("info", self.full(name))
        except FileNotFoundError:
            return None
        is_plain = facts["type"] == "file" and not facts.get("islink")
        return Item(name, int(facts["size"]), modified(facts)) if is_plain else None

    def walk(self, folder: str) -> Iterator[Item]:
        # Not `find` or `walk` of fsspec: they leave out what they could not list.
        # Twice, as the storage may come back just after the first.
        for facts in self.listed(folder) or self.listed(folder):
            name = str(facts["name"]).removeprefix(f"{self.root}/").rstrip("/")
            if not name.startswith(f"{folder}/") or facts.get("islink"):
                continue
            if facts["type"] == "file":
                yield Item(name, int(facts["size"]), modified(facts))
            elif facts["type"] == "directory" and name.count("/") < DEPTH:
                yield from self.walk(name)

    def listed(self, folder: str) -> list[dict[str, Any]]:
        """Empty when there is no such folder, but not when the storage is gone."""
        try:
            return list(self.call("ls", self.full(folder), detail=True))
        except FileNotFoundError as error:
            if self.stat(MARKER) is None:
                raise OSError(errno.ENODEV, "it is gone", self.root) from error
            return []

    def temp(self) -> RemoteTemp:
        return RemoteTemp(self)

    def put(self, name: str, data: bytes, *, sync: bool = True) -> None:
        self.upload(name, lambda target: self.call("pipe_file", target, data))

    def upload(self, name: str, send: Callable[[str], object]) -> None:
        """`send` to the full name that it is given; where that is not one step for readers, a rename is."""
        if self.is_one_put:
            send(self.full(name))
            return
        partial = f"tmp/{secrets.token_hex(16)}"
        self.make_folder(partial)
        try:
            send(self.full(partial))
            self.make_folder(name)
            self.call("mv", self.full(partial), self.full(name))
        except OSError:
            with contextlib.suppress(OSError):
                self.remove(partial)
            raise

    def make_folder(self, name: str) -> None:
        if not self.is_one_put:
            self.call("makedirs", self.full(name).rpartition("/")[0], exist_ok=True)

    def create(self, name: str, data: bytes) -> None:
        if self.stat(name) is not None:
            raise FileExistsError(errno.EEXIST, "it is there already", name)
        if self.is_one_put:
            self.call("pipe_file", self.full(name), data, mode="create")
        else:
            self.put(name, data)

    def move(self, source: str, target: str) -> None:
        before = self.stat(source)
        if before is None:
            raise FileNotFoundError(errno.ENOENT, "it is not there", source)
        if self.stat(target) is not None:
            raise FileExistsError(errno.EEXIST, "it is there already", target)
        self.make_folder(target)
        if not self.is_one_put:
            self.call("mv", self.full(source), self.full(target))
            return
        self.call("cp_file", self.full(source), self.full(target))
        copy = self.stat(target)
        if copy is None or copy.size != before.size:
            self.remove(target)
            raise FileExistsError(errno.EEXIST, "it was replaced while it was copied", source)
        self.call("rm_file", self.full(source))

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.call("rm_file", self.full(name))

    def tidy(self, folder: str) -> None:
        """Object stores have no folders, and elsewhere empty ones do no harm."""

    def identity(self, name: str) -> object:
        """Only reading tells; good for two seconds."""
        return time.monotonic() // MARKER_SECONDS


class RemoteTemp:
    def __init__(self, disk: RemoteDisk) -> None:
        self.disk = disk
        disk.spool.mkdir(parents=True, exist_ok=True)
        self.stream = tempfile.NamedTemporaryFile(dir=disk.spool, prefix="out-")  # noqa: SIM115 -- closed by `close`

    def write(self, data: bytes | memoryview) -> None:
        self.stream.write(data)

    def publish(self, name: str) -> None:
        self.stream.flush()
        if self.stream.tell() <= PIPED_BYTES:
            self.disk.put(name, Path(self.stream.name).read_bytes())
        else:
            self.disk.upload(name, lambda target: self.disk.call("put_file", self.stream.name, target))

    def close(self) -> None:
        self.stream.close()


def missing(error: OSError, name: str) -> OSError:
    """A file that is a folder or lies behind a link is as good as not there."""
    # fsspec raises some without an errno.
    if error.errno in NOT_THERE or isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "it is not there", name)
    return error


def modified(facts: dict[str, Any]) -> float:
    """When a remote file was written, in its protocol's words; unknown counts as now, so that it is kept."""
    for field in ("mtime", "LastModified", "last_modified", "updated", "created"):
        match facts.get(field):
            case datetime.datetime() as moment:
                return moment.timestamp()
            case int() | float() as seconds:
                return float(seconds)
    return time.time()


Disk = LocalDisk | RemoteDisk


class Store:
    """The storage of one project and environment, for all threads of a process. Attach it first."""

    def __init__(
        self, url: str, namespace: str, *, cache_dir: Path, cache_bytes: int, disk: Disk | None = None
    ) -> None:
        self.shown = f"{re.sub('//[^/@]*@', '//...@', url)} ({namespace})"
        self.namespace = namespace
        self.cache = LocalCache(cache_dir, cache_bytes)
        self.disk = disk or disk_for(url, namespace, cache_dir)
        self.id: str | None = None
        self._identity: object = None
        self._used: dict[str, float] = {}

    def attach(self, expected_id: str | None, *, adopt: bool = False) -> str:
        """Prove that the storage is there and the right one; returns its id.

        Without `expected_id` a storage that has no marker gets one. With it, a missing or another marker is a
        StorageError, unless `adopt` says that what is there now counts.
        """
        identity, found = self._read_marker()
        if found is None and (expected_id is None or adopt):
            self._make_marker()
            identity, found = self._read_marker()
        if found is None:
            raise StorageError(
                f"the storage {self.shown} is not mounted, or was emptied: its marker {MARKER} is missing; "
                f"mount it; {ADOPT_HINT}"
            )
        is_right = found["id"] == expected_id if expected_id else found["project-env"] == self.namespace
        if not is_right and not adopt:
            raise StorageError(
                f"the storage {self.shown} is another one than expected: its marker says {found['id']} of "
                f"{found['project-env']}, not {expected_id or 'one'} of {self.namespace}; "
                f"mount the right one; {ADOPT_HINT}"
            )
        self.id, self._identity = found["id"], identity
        return found["id"]

    def _read_marker(self) -> tuple[object, dict[str, str] | None]:
        try:
            with self.explained("read"):
                identity = self.disk.identity(MARKER)
                if identity is None:
                    return None, None
                found = json.loads(self.disk.read(MARKER))
            if found["format"] != FORMAT:
                raise StorageError(f"the storage {self.shown} has format {found['format']}: use a newer cu")
            return identity, {name: str(found[name]) for name in ("id", "project-env")}
        except FileNotFoundError:
            return None, None
        except (ValueError, KeyError, TypeError) as error:
            reason = f"the marker {MARKER} of the storage {self.shown} is damaged: {error!r}"
            raise StorageError(f"{reason}; restore it from a backup") from error

    def _make_marker(self) -> None:
        marker = {"format": FORMAT, "id": str(uuid.uuid4()), "project-env": self.namespace}
        try:
            self.disk.create(MARKER, json.dumps(marker).encode())
        except FileExistsError:
            return
        except FileNotFoundError as error:
            raise StorageError(f"the storage {self.shown} does not exist here: create or mount it") from error
        except OSError as error:
            raise self._problem(error, "write") from error

    def check(self) -> None:
        """Before every write: StorageError unless this still is what was attached."""
        if self.id is None:
            raise StorageError(f"the storage {self.shown} was not attached: call attach() first")
        with self.explained("read"):
            identity = self.disk.identity(MARKER)
        if identity is None or identity != self._identity:
            self.attach(self.id)

    @contextlib.contextmanager
    def explained(self, what: Literal["read", "write"]) -> Iterator[None]:
        """Errors for people; only a reader has use for a FileNotFoundError."""
        try:
            yield
        except OSError as error:
            if what == "read" and isinstance(error, FileNotFoundError):
                raise
            raise self._problem(error, what) from error

    def _problem(self, error: OSError, what: str) -> StorageError:
        reason = error.strerror or str(error)
        where = f"the storage {self.shown}"
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                hint = "nothing half was kept; make room, for instance with `cu purge cache`, and call again"
                return StorageError(f"{where} is full: {reason}; {hint}")
            case errno.EACCES | errno.EPERM | errno.EROFS:
                hint = "give that user the folder, or run the service as a user who has it"
                return StorageError(f"uid {os.getuid()} may not {what} {where}: {reason}; {hint}")
            case errno.ENOENT | errno.ENODEV:
                return StorageError(f"{where} is not mounted any more: {reason}; mount it again")
            case errno.ENOTDIR | errno.ELOOP:
                hint = "a file or a link, which is never followed, lies where a folder belongs; put that back"
                return StorageError(f"cannot {what} {where}: {reason}: {hint}")
        return StorageError(f"cannot {what} {where}: {reason}; look at the disk or its server")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        self.check()
        with self.explained("write"):
            yield

    def put_bytes(self, data: bytes) -> str:
        """Keep bytes; returns their SHA-256, under which they are found from now on."""
        sha256 = hashlib.sha256(data).hexdigest()
        if not self.has(sha256, len(data)):
            with self._writing():
                self.disk.put(place("blobs", sha256), data)
        return sha256

    def put_path(self, path: Path) -> tuple[str, int]:
        """Keep a copy of a local file; returns its SHA-256 and size in bytes."""
        with self.writer() as writer, path.open("rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                writer.write(chunk)
            return writer.commit()

    def writer(self, *, limit: int | None = None) -> BlobWriter:
        """For what arrives in pieces: a context manager with `write` and, at the end, `commit`."""
        return BlobWriter(self, limit)

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Whether a blob is there (of this size); if so it stays for an hour: who asks will refer to it."""
        name = place("blobs", sha256)
        with self.explained("write"):
            item = self.disk.stat(name)
            if item is None or size not in (None, item.size):
                return False
            return not self._note_use("blobs", sha256, item.modified) or self.disk.stat(name) is not None

    def size(self, sha256: str) -> int | None:
        with self.explained("read"):
            item = self.disk.stat(place("blobs", sha256))
        return None if item is None else item.size

    def read(self, sha256: str) -> bytes:
        """FileNotFoundError when it is not there (any more)."""
        with self._reading(sha256):
            return self.disk.read(place("blobs", sha256))

    def open(self, sha256: str) -> BinaryIO:
        """A seekable stream; FileNotFoundError when it is not there."""
        if self.disk.is_local:
            with self._reading(sha256):
                return self.disk.open(place("blobs", sha256))
        with self.local(sha256) as path:
            # An open file outlives its eviction from the cache.
            return path.open("rb")

    @contextlib.contextmanager
    def local(self, sha256: str) -> Iterator[Path]:
        """A local path of a blob, not to be written to; it stays as long as the `with` lasts."""
        if isinstance(self.disk, LocalDisk):
            if self.size(sha256) is None:
                with self._reading(sha256):
                    raise FileNotFoundError
            yield Path(self.disk.root, place("blobs", sha256))
            return
        with self.cache.pinned(checked(sha256), lambda target: self._fetch(sha256, target)) as path:
            yield path

    @contextlib.contextmanager
    def _reading(self, sha256: str) -> Iterator[None]:
        try:
            with self.explained("read"):
                yield
        except FileNotFoundError:
            self.check()
            raise FileNotFoundError(
                errno.ENOENT, f"the storage has no {sha256[:12]} (any more): it was purged; call again"
            ) from None

    def _fetch(self, sha256: str, target: Path) -> None:
        hashed = hashlib.sha256()
        name = place("blobs", sha256)
        with self._reading(sha256), self.disk.open(name) as source, target.open("wb") as out:
            while chunk := source.read(CHUNK_BYTES):
                hashed.update(chunk)
                try:
                    out.write(chunk)
                except OSError as error:
                    reason = f"no room for a local copy in {target.parent}: {error.strerror}"
                    raise StorageError(f"{reason}; see CU_CACHE_DIR") from error
        if hashed.hexdigest() != sha256:
            raise StorageError(f"{name} of the storage {self.shown} is damaged: remove it and call anew")

    def put_entry(self, entry: Entry) -> None:
        """Make a result known; StorageError when something that it refers to is not there."""
        for sha256 in entry.refers_to:
            if not self.has(sha256):
                self.check()
                raise StorageError(f"a result of {entry.name} names {sha256}, which was purged: call again")
        name = place("index", entry.key)
        with self._writing():
            # Moving away is not one step there, so purging has to hear of it before.
            if not self.disk.is_local and self.disk.stat(name) is not None:
                self._note_use("index", entry.key, 0)
            self.disk.put(name, dump_entry(entry))

    def get_entry(self, key: str) -> Entry | None:
        """A result; None when there is none, it expired, cannot be read, or its bytes are gone."""
        name = place("index", key)
        with self.explained("write"):
            try:
                entry = parse_entry(key, self.disk.read(name))
            except (FileNotFoundError, ValueError):
                return None
            if entry.expires is not None and entry.expires <= time.time():
                return None
            if entry.blob is not None and self.disk.stat(place("blobs", entry.blob)) is None:
                return None
            if self._note_use("index", key, entry.created) and self.disk.stat(name) is None:
                return None
        return entry

    def record_upload(self, sha256: str, size: int, name: str) -> None:
        """Let a blob be fetched and be passed by its id; it is purged by the rules of uploads."""
        record = {"size": size, "name": name, "time": time.time()}
        with self._writing():
            self.disk.put(place("uploads", sha256), json.dumps(record).encode())

    def upload(self, sha256: str) -> dict[str, Any] | None:
        """What was recorded of an upload: size, name, time."""
        name = place("uploads", sha256)
        with self.explained("read"):
            try:
                found = json.loads(self.disk.read(name))
            except (FileNotFoundError, ValueError):
                return None
        return found if isinstance(found, dict) else None

    def has_upload(self, sha256: str) -> bool:
        with self.explained("read"):
            return self.disk.stat(place("uploads", sha256)) is not None

    def used(self, kind: Kind, id_: str) -> None:
        """Remember that something was of use just now. An upload is used as the blob that it is."""
        self._note_use(kind, id_, 0)

    def _note_use(self, kind: Kind, id_: str, known: float) -> bool:
        """True if the use was written down now; not needed within an hour of the last, or of `known`."""
        now = time.time()
        name = used_place(kind, id_)
        if now - max(known, self._used.get(name, 0.0)) < USED_SECONDS:
            return False
        try:
            self.check()
            self.disk.put(name, b"", sync=False)
        except (OSError, StorageError):
            # A full or read-only storage can still be read.
            return False
        if len(self._used) >= 100_000:
            self._used.clear()
        self._used[name] = now
        return True

    def last_used(self, kind: Kind, id_: str) -> float | None:
        """Unix seconds; up to an hour before the true last use. None when no use was ever written down."""
        item = self.disk.stat(used_place(kind, id_))
        return None if item is None else item.modified


def used_place(kind: Kind, id_: str) -> str:
    return f"used/{place('index' if kind == 'index' else 'blobs', id_)}"


def disk_for(url: str, namespace: str, spool: Path) -> Disk:
    parts = urlsplit(url)
    if parts.scheme in ("", "file", "local"):
        return LocalDisk(Path(unquote(parts.path)) / namespace)
    from fsspec.core import url_to_fs

    try:
        # An instance of its own, so that nobody else's listings are taken for the present.
        filesystem, root = url_to_fs(url, skip_instance_cache=True)
    except (ImportError, ValueError) as error:
        reason = f"a storage of {parts.scheme}:// cannot be used: {error}"
        raise StorageError(f"{reason}; add its package to requirements.txt") from error
    return RemoteDisk(filesystem, f"{root}/{namespace}", spool)


class BlobWriter:
    """Takes bytes in pieces and hashes them on the way; what was not committed leaves no trace."""

    def __init__(self, store: Store, limit: int | None) -> None:
        self.store = store
        self.limit = limit
        self.size = 0
        self.hashed = hashlib.sha256()

    def __enter__(self) -> BlobWriter:
        with self.store._writing():
            self.temp = self.store.disk.temp()
        return self

    def __exit__(self, *_: object) -> None:
        self.temp.close()

    def write(self, chunk: bytes | memoryview) -> None:
        """OverflowError beyond the limit."""
        self.size += len(chunk)
        if self.limit is not None and self.size > self.limit:
            raise OverflowError(f"more than {self.limit} bytes")
        self.hashed.update(chunk)
        with self.store.explained("write"):
            self.temp.write(chunk)

    def commit(self, expected: str | None = None) -> tuple[str, int]:
        """Make it a blob; returns its SHA-256 and size, ValueError when the SHA-256 is not the expected."""
        sha256 = self.hashed.hexdigest()
        if expected not in (None, sha256):
            raise ValueError(f"the content has the SHA-256 {sha256}, not {expected}")
        if not self.store.has(sha256, self.size):
            with self.store._writing():
                self.temp.publish(place("blobs", sha256))
        return sha256, self.size


@dataclass
class Pinned:
    """A local copy in use; a shared lock (flock(2)) on its descriptor says so to the other processes."""

    fd: int
    size: int
    count: int = 1


class LocalCache:
    """Local copies of blobs for all processes of a container, the least recently used first to go.

    Look-ups are O(1). What is in use stays, in whichever process, even if that is more than `most_bytes`.
    """

    def __init__(self, directory: Path, most_bytes: int) -> None:
        self.directory = directory
        self.most_bytes = most_bytes
        self.bytes = 0
        self._idle: OrderedDict[str, int] = OrderedDict()
        self._pinned: dict[str, Pinned] = {}
        self._lock = threading.Lock()
        self._fetching = [threading.Lock() for _ in range(64)]
        self._refreshed = -REFRESH_SECONDS

    @contextlib.contextmanager
    def pinned(self, id_: str, fetch: Callable[[Path], None]) -> Iterator[Path]:
        """The path of a copy, made by `fetch(path)` if there is none."""
        with self._fetching[int(id_[:2], 16) % 64]:
            if not self._pin_again(id_):
                fd = self._open(id_)
                self._pin(id_, self._get(id_, fetch) if fd is None else fd)
        try:
            yield self.directory / id_
        finally:
            self._unpin(id_)

    def _pin_again(self, id_: str) -> bool:
        with self._lock:
            held = self._pinned.get(id_)
            if held is not None:
                held.count += 1
            return held is not None

    def _pin(self, id_: str, fd: int) -> None:
        held = Pinned(fd, os.fstat(fd).st_size)
        with self._lock:
            self.bytes += held.size - self._idle.pop(id_, 0)
            self._pinned[id_] = held
            self._evict()

    def _unpin(self, id_: str) -> None:
        with self._lock:
            held = self._pinned[id_]
            held.count -= 1
            if held.count == 0:
                del self._pinned[id_]
                os.close(held.fd)
                self._idle[id_] = held.size
                self._evict()

    def _open(self, id_: str) -> int | None:
        try:
            fd = os.open(self.directory / id_, OPEN)
        except FileNotFoundError:
            return None
        fcntl.flock(fd, fcntl.LOCK_SH)
        if os.fstat(fd).st_nlink == 0:
            # Another process evicted it just before it was locked.
            os.close(fd)
            return None
        with contextlib.suppress(PermissionError):
            # The order in which a process that starts later finds them.
            os.utime(fd)
        return fd

    def _get(self, id_: str, fetch: Callable[[Path], None]) -> int:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._refresh()
        partial = self.directory / f"{id_}.{secrets.token_hex(8)}"
        try:
            fetch(partial)
            fd = os.open(partial, OPEN)
            fcntl.flock(fd, fcntl.LOCK_SH)
            partial.chmod(0o444)
            partial.rename(self.directory / id_)
        finally:
            partial.unlink(missing_ok=True)
        return fd

    def _evict(self) -> None:
        for _ in range(len(self._idle)):
            if self.bytes <= self.most_bytes:
                return
            id_, size = self._idle.popitem(last=False)
            if self._remove(id_):
                self.bytes -= size
            else:
                self._idle[id_] = size

    def _remove(self, id_: str) -> bool:
        """False when another process uses it."""
        try:
            fd = os.open(self.directory / id_, OPEN)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(self.directory / id_)
        except BlockingIOError:
            return False
        except FileNotFoundError:
            return True
        finally:
            os.close(fd)
        return True

    def _refresh(self) -> None:
        """Take over what other processes fetched or evicted, and remove what killed ones left half done."""
        now = time.monotonic()
        with self._lock:
            if now - self._refreshed < REFRESH_SECONDS:
                return
            self._refreshed = now
            found: dict[str, os.stat_result] = {}
            for one in os.scandir(self.directory):
                with contextlib.suppress(FileNotFoundError):
                    found[one.name] = one.stat(follow_symlinks=False)
            for name, facts in found.items():
                if HALF_DONE.fullmatch(name) and time.time() - facts.st_mtime > 86_400:
                    self.directory.joinpath(name).unlink(missing_ok=True)
            copies = {name: facts for name, facts in found.items() if DIGEST.fullmatch(name)}
            for name in self._idle.keys() - copies.keys():
                self.bytes -= self._idle.pop(name)
            new = copies.keys() - self._idle.keys() - self._pinned.keys()
            for name in sorted(new, key=lambda name: copies[name].st_mtime, reverse=True):
                self._idle[name] = copies[name].st_size
                self._idle.move_to_end(name, last=False)
                self.bytes += copies[name].st_size
