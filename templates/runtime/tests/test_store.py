"""The storage: one contract for a folder, an object store, and any other filesystem of fsspec."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import multiprocessing
import os
import random
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from cu.store import (
    MARKER,
    MARKER_SECONDS,
    Entry,
    LocalCache,
    LocalDisk,
    NewerFormat,
    RemoteDisk,
    StorageError,
    Store,
    dump_entry,
    parse_entry,
    place,
)

KEY = "ab" * 32
OTHER = "cd" * 32
NAMESPACE = "shop-test"

HOSTILE_IDS = ["", "..", "../../etc/passwd", "AB" * 32, "ab" * 31, "ab" * 32 + "\n", "/" + "ab" * 32, "ab" * 31 + "\0a"]


class Failing:
    """Stands before `os` or a filesystem of fsspec, and lets one call fail."""

    def __init__(
        self, inner: Any, steps: set[str], problem: Callable[[], OSError] = lambda: OSError(errno.EIO, "broken")
    ):
        self.inner = inner
        self.steps = steps
        self.problem = problem
        self.fails_at: int | None = None
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name not in self.steps:
            return found

        def step(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            if self.fails_at == len(self.calls):
                raise self.problem()
            return found(*arguments, **options)

        return step

    def fail_at(self, number: int | None) -> None:
        self.fails_at = number
        self.calls = []


class Always(Failing):
    """Lets every such call fail."""

    def __init__(self, failing: Failing) -> None:
        super().__init__(failing.inner, failing.steps, failing.problem)

    def __getattr__(self, name: str) -> Any:
        self.fails_at = len(self.calls) + 1
        return super().__getattr__(name)


OS_STEPS = {
    "open",
    "write",
    "fsync",
    "fchmod",
    "replace",
    "link",
    "rename",
    "unlink",
    "mkdir",
    "scandir",
    "stat",
    "rmdir",
}
FSSPEC_STEPS = {"cat_file", "pipe_file", "info", "ls", "mv", "cp_file", "rm_file", "makedirs", "put_file", "open"}


@dataclasses.dataclass
class Place:
    """A storage that several stores may open, and a look at it past the store."""

    kind: str
    url: str
    directory: Path
    filesystem: Any = None

    def store(self, *, is_attached: bool = True, cache_bytes: int = 1 << 20, system: Any = os) -> Store:
        disk: LocalDisk | RemoteDisk
        if self.kind == "folder":
            disk = LocalDisk(self.directory / NAMESPACE, system)
        else:
            filesystem = self.filesystem if system is os else system
            disk = RemoteDisk(
                filesystem, NAMESPACE if self.kind == "generic" else f"/{self.url}/{NAMESPACE}", self.spool
            )
        store = Store(self.url, NAMESPACE, cache_dir=self.spool, cache_bytes=cache_bytes, disk=disk)
        if is_attached:
            store.attach(None)
        return store

    @property
    def spool(self) -> Path:
        return self.directory.parent / "cache"

    def write(self, name: str, data: bytes) -> None:
        if self.kind == "memory":
            self.filesystem.pipe_file(f"/{self.url}/{NAMESPACE}/{name}", data)
            return
        path = self.directory / NAMESPACE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        path.write_bytes(data)

    def remove(self, name: str) -> None:
        if self.kind == "memory":
            self.filesystem.rm_file(f"/{self.url}/{NAMESPACE}/{name}")
        else:
            (self.directory / NAMESPACE / name).unlink()

    def files(self) -> dict[str, bytes]:
        if self.kind == "memory":
            prefix = f"/{self.url}/{NAMESPACE}/"
            return {
                name.removeprefix(prefix): file.getvalue()
                for name, file in self.filesystem.store.items()
                if name.startswith(prefix)
            }
        root = self.directory / NAMESPACE
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def make_place(kind: str, directory: Path) -> Place:
    root = directory / "storage"
    root.mkdir()
    match kind:
        case "memory":
            return Place(kind, uuid.uuid4().hex, root, MemoryFileSystem(global_store=False, skip_instance_cache=True))
        case "generic":
            return Place(kind, "dir://", root, DirFileSystem(str(root), LocalFileSystem()))
    return Place(kind, root.as_uri(), root)


@pytest.fixture(params=["folder", "memory", "generic"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request.param, tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    return make_place("folder", tmp_path)


@pytest.fixture
def memory(tmp_path: Path) -> Place:
    return make_place("memory", tmp_path)


def entry(key: str = KEY, **changes: Any) -> Entry:
    made = Entry(
        key=key, name="tasks.mosaic", version="v1", codec="json", media_type="application/json", blob=None, size=2,
        inline=b"{}", files=(), created=time.time(), expires=None, node="worker.1.local", seconds=0.5,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def eventually(look: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


class TestBlobs:
    def test_bytes_come_back_under_their_digest(self, site: Place) -> None:
        store = site.store()

        sha256 = store.put_bytes(b"some bytes")

        assert sha256 == hashlib.sha256(b"some bytes").hexdigest()
        assert (store.has(sha256), store.size(sha256), store.read(sha256)) == (True, 10, b"some bytes")
        assert store.put_bytes(b"some bytes") == sha256
        assert store.read(store.put_bytes(b"")) == b""

    def test_a_file_is_taken_in_pieces(self, site: Place, tmp_path: Path) -> None:
        data = random.Random(1).randbytes(3_000_000)
        (tmp_path / "big").write_bytes(data)
        store = site.store()

        sha256, size = store.put_path(tmp_path / "big")

        assert (sha256, size) == (hashlib.sha256(data).hexdigest(), len(data))
        with store.open(sha256) as stream:
            stream.seek(1_000_000)
            assert stream.read(10) == data[1_000_000:1_000_010]
        with store.local(sha256) as path:
            assert path.read_bytes() == data
            assert path.stat().st_mode & 0o222 == 0

    def test_larger_than_what_goes_in_one_request(self, memory: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("cu.store.PIPED_BYTES", 100)
        store = memory.store()

        with store.writer() as writer:
            writer.write(bytes(1000))
            sha256, _ = writer.commit()

        assert store.read(sha256) == bytes(1000)

    def test_what_is_not_there_is_told(self, site: Place) -> None:
        store = site.store()

        assert (store.has(KEY), store.size(KEY), store.has_upload(KEY)) == (False, None, False)
        with pytest.raises(FileNotFoundError, match="purged"):
            store.read(KEY)
        with pytest.raises(FileNotFoundError, match="purged"):
            store.open(KEY)
        with pytest.raises(FileNotFoundError, match="purged"), store.local(KEY):
            pass

    def test_what_was_not_committed_leaves_no_trace(self, site: Place) -> None:
        store = site.store()
        before = site.files()

        with pytest.raises(OverflowError, match="10 bytes"), store.writer(limit=10) as writer:
            writer.write(b"12345678")
            writer.write(b"12345678")
        with pytest.raises(ValueError, match="SHA-256"), store.writer() as writer:
            writer.write(b"damaged on the way")
            writer.commit(KEY)
        with store.writer() as writer:
            writer.write(b"given up")

        assert site.files() == before
        assert not [path for path in site.spool.glob("*") if site.spool.exists()]

    def test_a_truncated_blob_is_written_again(self, site: Place) -> None:
        store = site.store()
        sha256 = store.put_bytes(b"whole")
        site.write(place("blobs", sha256), b"wh")

        store.put_bytes(b"whole")

        assert store.read(sha256) == b"whole"

    def test_a_damaged_blob_is_not_fetched(self, memory: Place) -> None:
        store = memory.store()
        sha256 = store.put_bytes(b"whole")
        memory.write(place("blobs", sha256), b"whale")

        with pytest.raises(StorageError, match="damaged"), store.local(sha256):
            pass

        assert list(memory.spool.glob("*")) == []

    @pytest.mark.parametrize("id_", HOSTILE_IDS)
    def test_only_digests_come_near_a_path(self, site: Place, id_: str) -> None:
        store = site.store()
        steps: list[Callable[[], object]] = [
            lambda: store.has(id_), lambda: store.size(id_), lambda: store.read(id_), lambda: store.open(id_),
            lambda: store.local(id_).__enter__(), lambda: store.get_entry(id_), lambda: store.put_entry(entry(id_)),
            lambda: store.put_entry(entry(blob=id_)), lambda: store.put_entry(entry(files=(id_,))),
            lambda: store.record_upload(id_, 1, ""), lambda: store.has_upload(id_), lambda: store.upload(id_),
            lambda: store.used("index", id_), lambda: store.last_used("blobs", id_),
        ]  # fmt: skip

        for step in steps:
            with pytest.raises(ValueError, match="is not a SHA-256"):
                step()


class TestIndex:
    def test_an_entry_comes_back(self, site: Place) -> None:
        store = site.store()
        blob, file = store.put_bytes(b"large"), store.put_bytes(b"file")
        inline = entry(inline=bytes(range(256)), size=256, expires=time.time() + 60)
        by_blob = entry(OTHER, inline=None, blob=blob, files=(file,))

        store.put_entry(inline)
        store.put_entry(by_blob)

        assert (store.get_entry(KEY), store.get_entry(OTHER)) == (inline, by_blob)
        assert site.store().get_entry(OTHER) == by_blob
        assert store.get_entry("ef" * 32) is None

    def test_what_expired_or_lost_its_bytes_is_no_result(self, site: Place) -> None:
        store = site.store()
        blob = store.put_bytes(b"large")
        store.put_entry(entry(KEY, expires=time.time() - 1))
        store.put_entry(entry(OTHER, inline=None, blob=blob))

        site.remove(place("blobs", blob))

        assert store.get_entry(KEY) is None
        assert store.get_entry(OTHER) is None

    def test_an_entry_never_names_what_is_not_there(self, site: Place) -> None:
        store = site.store()

        with pytest.raises(StorageError, match="purged: call again"):
            store.put_entry(entry(inline=None, blob=OTHER))
        with pytest.raises(StorageError, match="purged: call again"):
            store.put_entry(entry(files=(OTHER,)))

        assert store.get_entry(KEY) is None

    @given(st.data())
    @settings(max_examples=300, deadline=None)
    def test_a_damaged_entry_is_told_from_a_whole_one(self, data: st.DataObject) -> None:
        whole = entry(inline=b"a value", files=(OTHER,), blob=OTHER)
        packed = bytearray(dump_entry(whole))
        if data.draw(st.booleans()):
            del packed[data.draw(st.integers(0, len(packed) - 1)) :]
        else:
            packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))

        with pytest.raises(ValueError):  # noqa: PT011 -- its text is for nobody: the entry counts as missing
            parse_entry(KEY, bytes(packed))

    @pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93", bytes(100), b"\x93\x01\x00\xa1x", os.urandom(500)])
    def test_a_damaged_entry_is_no_result(self, site: Place, data: bytes) -> None:
        store = site.store()
        site.write(place("index", KEY), data)

        assert store.get_entry(KEY) is None

        store.put_entry(entry())
        assert store.get_entry(KEY) == entry(created=store.get_entry(KEY).created)  # type: ignore[union-attr]

    def test_an_entry_in_a_wrong_place_or_of_a_newer_format_is_no_result(self, site: Place) -> None:
        import msgpack

        store = site.store()
        site.write(place("index", OTHER), dump_entry(entry(KEY)))
        _, checksum, body = msgpack.unpackb(dump_entry(entry(KEY)))
        site.write(place("index", KEY), msgpack.packb([2, checksum, body]))

        assert (store.get_entry(KEY), store.get_entry(OTHER)) == (None, None)
        with pytest.raises(NewerFormat):
            parse_entry(KEY, site.files()[place("index", KEY)])

    def test_a_hit_lists_nothing_and_writes_nothing(self, folder: Place) -> None:
        counting = Failing(os, OS_STEPS)
        store = folder.store(system=counting)
        store.put_entry(entry())
        store.put_entry(entry(OTHER, inline=None, blob=store.put_bytes(b"large")))
        counting.fail_at(None)

        assert store.get_entry(KEY)
        assert counting.calls == ["open"] * 4
        assert store.get_entry(OTHER)
        assert set(counting.calls) == {"open", "stat"}


class TestUploads:
    def test_an_upload_is_remembered_with_its_name(self, site: Place) -> None:
        store = site.store()
        sha256 = store.put_bytes(b"uploaded")
        assert not store.has_upload(sha256)

        store.record_upload(sha256, 8, "ein bild.tif")

        assert store.has_upload(sha256)
        found = store.upload(sha256)
        assert found is not None
        assert (found["size"], found["name"]) == (8, "ein bild.tif")
        site.write(place("uploads", sha256), b"[")
        assert store.upload(sha256) is None


class TestUse:
    def test_it_is_written_down_once_an_hour(self, site: Place) -> None:
        store = site.store()
        assert store.last_used("index", KEY) is None

        store.used("index", KEY)
        first = store.last_used("index", KEY)
        store.used("index", KEY)

        assert first == pytest.approx(time.time(), abs=60)
        assert store.last_used("index", KEY) == first
        assert store.last_used("blobs", KEY) is None
        store.used("uploads", OTHER)
        assert store.last_used("blobs", OTHER) is not None

    def test_finding_an_old_entry_or_blob_is_a_use_and_a_young_one_needs_none(self, site: Place) -> None:
        store = site.store()
        store.put_entry(entry(KEY, created=time.time() - 7200))
        store.put_entry(entry(OTHER))
        blob = store.put_bytes(b"young")

        assert store.get_entry(KEY)
        assert store.get_entry(OTHER)
        assert store.has(blob)

        assert store.last_used("index", KEY) is not None
        assert store.last_used("index", OTHER) is None
        assert store.last_used("blobs", blob) is None

    def test_a_storage_that_cannot_be_written_can_be_read(self, folder: Place) -> None:
        failing = Failing(os, {"write", "replace", "fsync", "mkdir"}, lambda: OSError(errno.EROFS, "read-only"))
        folder.store().put_entry(entry(created=time.time() - 7200))
        store = folder.store(system=failing)
        failing.fail_at(1)

        assert store.get_entry(KEY) is not None

        assert failing.calls == ["mkdir"]
        with pytest.raises(StorageError, match=f"uid {os.getuid()} may not write .* read-only; give that user"):
            failing.fail_at(1)
            store.put_bytes(b"new")


class TestMarker:
    def test_the_first_makes_it_and_the_others_take_it(self, site: Place) -> None:
        ids: list[str] = []
        gate = threading.Barrier(6)

        def attach() -> None:
            store = site.store(is_attached=False)
            gate.wait()
            store.attach(None)
            ids.append(store.attach(None))

        threads = [threading.Thread(target=attach) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        marker = json.loads(site.files()[MARKER])
        assert marker == {"format": 1, "id": marker["id"], "project-env": NAMESPACE}
        if site.kind == "folder":
            assert set(ids) == {marker["id"]}
        assert site.store().attach(marker["id"]) == marker["id"]

    def test_a_missing_one_is_not_made_anew(self, site: Place) -> None:
        store = site.store(is_attached=False)

        with pytest.raises(StorageError, match="is not mounted, or was emptied.*doctor --new-storage"):
            store.attach(str(uuid.uuid4()))

        assert site.files() == {}
        assert store.attach(str(uuid.uuid4()), adopt=True) == json.loads(site.files()[MARKER])["id"]

    def test_another_one_is_refused_unless_it_is_adopted(self, site: Place) -> None:
        known = site.store().attach(None)

        with pytest.raises(StorageError, match=f"is another one than expected: its marker says {known}"):
            site.store(is_attached=False).attach(str(uuid.uuid4()))

        assert site.store(is_attached=False).attach(str(uuid.uuid4()), adopt=True) == known

    def test_a_copy_of_another_project_is_refused_unless_its_id_is_known(self, site: Place) -> None:
        site.write(MARKER, json.dumps({"format": 1, "id": "x", "project-env": "shop-live"}).encode())

        with pytest.raises(StorageError, match="of shop-live, not one of shop-test"):
            site.store()

        assert site.store(is_attached=False).attach("x") == "x"

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format": 1}', b"\xff"])
    def test_a_damaged_one_stops_everything(self, site: Place, data: bytes) -> None:
        site.write(MARKER, data)

        with pytest.raises(StorageError, match=r"damaged.*; restore it from a backup"):
            site.store()

        assert site.files() == {MARKER: data}

    def test_one_of_a_newer_version_stops_everything(self, site: Place) -> None:
        site.write(MARKER, b'{"format": 2}')

        with pytest.raises(StorageError, match="use a newer cu"):
            site.store()

    @pytest.mark.parametrize("change", ["removed", "replaced", "overwritten"])
    def test_writes_stop_when_it_goes_while_running(
        self, site: Place, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert MARKER_SECONDS == 2
        monkeypatch.setattr("cu.store.MARKER_SECONDS", 0.1)
        store = site.store()
        kept = store.put_bytes(b"kept")
        other = json.dumps({"format": 1, "id": str(uuid.uuid4()), "project-env": NAMESPACE}).encode()
        if change == "removed":
            site.remove(MARKER)
        elif change == "overwritten" and site.kind == "folder":
            (site.directory / NAMESPACE / MARKER).write_bytes(other)
        else:
            site.write(MARKER, other)
        if site.kind != "folder":
            eventually(lambda: raises(StorageError, store.check))
        before = site.files()
        steps: list[Callable[[], object]] = [
            lambda: store.put_bytes(b"new"), lambda: store.put_entry(entry()), lambda: store.record_upload(KEY, 1, ""),
            lambda: store.writer().__enter__(), lambda: store.put_path(Path(__file__)), store.check,
        ]  # fmt: skip

        for step in steps:
            with pytest.raises(StorageError, match="is not mounted" if change == "removed" else "is another one"):
                step()
        store.used("index", KEY)

        assert site.files() == before
        assert store.read(kept) == b"kept"

    def test_it_may_be_replaced_by_its_copy(self, site: Place) -> None:
        store = site.store()
        site.write(MARKER, site.files()[MARKER])

        store.put_bytes(b"new")

    def test_a_root_that_does_not_exist_is_not_made(self, tmp_path: Path) -> None:
        store = Store((tmp_path / "nowhere").as_uri(), NAMESPACE, cache_dir=tmp_path, cache_bytes=0)

        with pytest.raises(StorageError, match="does not exist here: create or mount it"):
            store.attach(None)

        assert not (tmp_path / "nowhere").exists()

    def test_what_was_not_attached_cannot_be_written(self, site: Place) -> None:
        with pytest.raises(StorageError, match="not attached"):
            site.store(is_attached=False).check()
        with pytest.raises(StorageError, match="not attached|not mounted"):
            site.store(is_attached=False).put_bytes(b"x")

    def test_passwords_in_the_url_are_not_shown(self, tmp_path: Path) -> None:
        disk = LocalDisk(tmp_path / "nowhere")
        store = Store("sftp://me:hidden@host/x", NAMESPACE, cache_dir=tmp_path, cache_bytes=0, disk=disk)

        with pytest.raises(StorageError, match=r"sftp://\.\.\.@host/x"):
            store.put_bytes(b"x")

    def test_a_protocol_that_nobody_knows_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="nonsense://.*requirements.txt"):
            Store("nonsense://x", NAMESPACE, cache_dir=tmp_path, cache_bytes=0)

    @pytest.mark.parametrize("scheme", ["memory", "file"])
    def test_urls_lead_to_the_storage(self, scheme: str, tmp_path: Path) -> None:
        url = f"memory://{uuid.uuid4().hex}" if scheme == "memory" else (tmp_path / "a b").as_uri()
        (tmp_path / "a b").mkdir()
        stores = [Store(url, NAMESPACE, cache_dir=tmp_path / "c", cache_bytes=100) for _ in range(2)]

        assert stores[0].attach(None) == stores[1].attach(None)
        assert stores[1].read(stores[0].put_bytes(b"x")) == b"x"
        assert (tmp_path / "a b" / NAMESPACE / MARKER).exists() == (scheme == "file")


def raises(kind: type[Exception], step: Callable[[], object]) -> bool:
    try:
        step()
    except kind:
        return True
    return False


class TestWrites:
    def test_a_reader_never_sees_a_part(self, site: Place) -> None:
        """The reader looks past the store, as another host would."""
        store = site.store()
        sizes = [100, 900_000, 5_000, 400_000]
        whole = {dump_entry(entry(inline=bytes(size), created=1)) for size in sizes}
        sha256 = hashlib.sha256(bytes(2_000_000)).hexdigest()
        stop = threading.Event()
        wrong: list[object] = []
        seen: set[int] = set()

        def look() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    data = store.disk.read(place("index", KEY))
                    seen.add(len(data))
                    if data not in whole:
                        wrong.append(len(data))
                with contextlib.suppress(OSError):
                    data = store.disk.read(place("blobs", sha256))
                    seen.add(len(data))
                    if len(data) != 2_000_000:
                        wrong.append(len(data))

        reader = threading.Thread(target=look)
        reader.start()
        try:
            for number in range(60):
                store.put_entry(entry(inline=bytes(sizes[number % 4]), created=1))
                if number % 3 == 0:
                    with contextlib.suppress(FileNotFoundError):
                        store.disk.remove(place("blobs", sha256))
                    store.put_bytes(bytes(2_000_000))
            eventually(lambda: 2_000_000 in seen and len(seen) > 1)
        finally:
            stop.set()
            reader.join()

        assert wrong == []

    @pytest.mark.parametrize("has_links", [True, False])
    def test_a_move_never_replaces(self, site: Place, has_links: bool) -> None:
        store = site.store()
        if not has_links and site.kind == "folder":
            # Some network filesystems have none.
            refusing = Failing(os, {"link"}, lambda: OSError(errno.EPERM, "no links here"))
            store = site.store(system=Always(refusing))
        store.put_entry(entry())
        store.put_entry(entry(OTHER))
        mine, other = (site.files()[place("index", key)] for key in (KEY, OTHER))
        trash = f"trash/20260101T000000-00000000/{place('index', KEY)}"
        store.disk.put(trash, b"in the trash")

        for taken in (place("index", OTHER), trash):
            with pytest.raises(FileExistsError):
                store.disk.move(place("index", KEY), taken)
        with pytest.raises(FileNotFoundError):
            store.disk.move(place("index", digest(9)), f"{trash}-free")
        assert [site.files()[name] for name in (place("index", KEY), place("index", OTHER), trash)] == [
            mine, other, b"in the trash"
        ]  # fmt: skip

        store.disk.remove(trash)
        store.disk.move(place("index", KEY), trash)
        assert store.get_entry(KEY) is None
        store.disk.move(trash, place("index", KEY))
        assert store.get_entry(KEY) is not None

    def test_hosts_write_the_same_at_once(self, site: Place) -> None:
        stores = [site.store() for _ in range(4)]
        data = [bytes([number]) * 50_000 for number in range(20)]
        problems: list[Exception] = []

        def write(store: Store) -> None:
            try:
                for piece in data:
                    blob = store.put_bytes(piece)
                    store.put_entry(entry(blob, inline=None, blob=blob))
            except Exception as error:
                problems.append(error)

        threads = [threading.Thread(target=write, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert problems == []
        for piece in data:
            found = site.store().get_entry(hashlib.sha256(piece).hexdigest())
            assert found is not None
            assert stores[0].read(str(found.blob)) == piece
        assert not [name for name in site.files() if name.startswith("tmp/")]

    @pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.ESTALE])
    def test_any_step_may_fail(self, site: Place, code: int, tmp_path: Path) -> None:
        """Each step of each write fails once: a StorageError or nothing, no half file, and the next try works."""
        (tmp_path / "source").write_bytes(b"source")

        def work(store: Store) -> None:
            blob = store.put_bytes(b"bytes")
            store.put_path(tmp_path / "source")
            store.put_entry(entry(inline=None, blob=blob, created=1))
            store.record_upload(blob, 5, "")
            assert store.get_entry(KEY) is not None

        number = failed = 0
        while True:
            number += 1
            (tmp_path / str(number)).mkdir()
            fresh = make_place(site.kind, tmp_path / str(number))
            steps, inner = (OS_STEPS, os) if site.kind == "folder" else (FSSPEC_STEPS, fresh.filesystem)
            failing = Failing(inner, steps, lambda: OSError(code, os.strerror(code)))
            store = fresh.store(system=failing)
            failing.fail_at(number)
            try:
                work(store)
            except StorageError as error:
                failed += 1
                assert ("is full" in str(error)) == (code == errno.ENOSPC)
            if len(failing.calls) < number:
                break
            failing.fail_at(None)
            for name, data in fresh.files().items():
                if name.startswith(("blobs/", "index/", "uploads/")):
                    assert data in (b"bytes", b"source") or data[:1] in (b"{", b"\x93")
                assert not name.startswith("tmp/")
            work(store)
        assert failed >= 10

    def test_two_users_of_a_group_share_it(self, tmp_path: Path) -> None:
        if os.getuid() != 0:
            pytest.skip("only root can become two users")
        root = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
        os.chown(root, 0, 54321)
        root.chmod(0o2775)

        def be(uid: int, text: bytes) -> None:
            os.setgroups([54321])
            os.setgid(uid)
            os.setuid(uid)
            os.umask(0o077)
            store = Store(root.as_uri(), NAMESPACE, cache_dir=root, cache_bytes=0)
            store.attach(None)
            for piece in (text, b"both"):
                blob = store.put_bytes(piece)
                store.put_entry(entry(inline=None, blob=blob))
                store.record_upload(blob, 1, "")
                store.used("index", KEY)
                assert store.read(blob) == piece

        try:
            for uid, text in ((54001, b"one"), (54002, b"two"), (54001, b"three")):
                child = multiprocessing.get_context("fork").Process(target=be, args=(uid, text), daemon=True)
                child.start()
                child.join()
                assert child.exitcode == 0
        finally:
            subprocess.run(["rm", "-rf", root], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real filesystem of 1 MiB, and nothing of it left at the end."""
    directory = tmp_path / "small"
    directory.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "cu-test", directory], capture_output=True).returncode:
        pytest.skip("mounting is not possible here")
    yield directory
    subprocess.run(["umount", "-l", directory], capture_output=True)


class TestRealDisk:
    def test_a_full_disk_fails_clearly_and_corrupts_nothing(self, small_disk: Path, tmp_path: Path) -> None:
        store = Store(small_disk.as_uri(), NAMESPACE, cache_dir=tmp_path / "c", cache_bytes=0)
        store.attach(None)
        kept = store.put_bytes(bytes(300_000))
        store.put_entry(entry(inline=None, blob=kept))
        (tmp_path / "big").write_bytes(bytes(2_000_000))

        for step in (
            lambda: store.put_bytes(bytes(2_000_000)),
            lambda: store.put_path(tmp_path / "big"),
            lambda: store.put_entry(entry(OTHER, inline=bytes(1_000_000))),
        ):
            with pytest.raises(
                StorageError, match=r"is full: No space left on device; nothing half was kept.*cu purge"
            ):
                step()

        found = [path for path in small_disk.rglob("*") if path.is_file()]
        assert sorted(path.name for path in found) == sorted([MARKER, kept, KEY])
        assert store.get_entry(OTHER) is None
        assert store.get_entry(KEY) is not None
        store.put_bytes(bytes(400_000))

    def test_an_unmount_stops_writes(self, small_disk: Path, tmp_path: Path) -> None:
        store = Store(small_disk.as_uri(), NAMESPACE, cache_dir=tmp_path / "c", cache_bytes=0)
        store.attach(None)
        kept = store.put_bytes(b"kept")
        writer = store.writer()
        writer.__enter__()
        writer.write(b"half")
        subprocess.run(["umount", "-l", small_disk], check=True)

        for step in (lambda: store.put_bytes(b"new"), lambda: store.put_entry(entry()), writer.commit):
            with pytest.raises(StorageError, match=r"is not mounted"):
                step()
        writer.__exit__()
        with pytest.raises(StorageError, match="is not mounted"):
            store.read(kept)

        with pytest.raises(StorageError, match="is not mounted"):
            store.get_entry(KEY)
        assert list(small_disk.iterdir()) == []

    def test_another_disk_in_its_place_stops_writes(self, small_disk: Path, tmp_path: Path) -> None:
        store = Store(small_disk.as_uri(), NAMESPACE, cache_dir=tmp_path / "c", cache_bytes=0)
        store.attach(None)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "cu-test", small_disk], check=True)
        try:
            Store(small_disk.as_uri(), NAMESPACE, cache_dir=tmp_path / "c", cache_bytes=0).attach(None)

            with pytest.raises(StorageError, match="is another one than expected"):
                store.put_bytes(b"new")
        finally:
            subprocess.run(["umount", "-l", small_disk], check=True)
        store.put_bytes(b"new")


class TestLinks:
    def test_nothing_is_written_through_a_link(self, folder: Place, tmp_path: Path) -> None:
        store = folder.store()
        outside = tmp_path / "outside"
        outside.mkdir()
        sha256 = hashlib.sha256(b"bytes").hexdigest()
        inside = folder.directory / NAMESPACE
        (inside / "blobs").mkdir()
        (inside / "blobs" / sha256[:2]).symlink_to(outside)
        (inside / "index").symlink_to(outside)

        with pytest.raises(StorageError, match="links* .* never followed|a link, which is never followed"):
            store.put_bytes(b"bytes")
        with pytest.raises(StorageError, match="which is never followed"):
            store.put_entry(entry())

        assert list(outside.iterdir()) == []

    def test_nothing_is_read_through_a_link(self, folder: Place, tmp_path: Path) -> None:
        store = folder.store()
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / OTHER).write_bytes(dump_entry(entry(OTHER)))
        (outside / "secret").write_bytes(b"secret")
        inside = folder.directory / NAMESPACE
        (inside / "index").mkdir()
        (inside / "index" / "cd").symlink_to(outside)
        (inside / "blobs" / "ab").mkdir(parents=True)
        (inside / "blobs" / "ab" / KEY).symlink_to(outside / "secret")

        assert store.get_entry(OTHER) is None
        assert (store.has(KEY), store.size(KEY)) == (False, None)
        with pytest.raises(FileNotFoundError):
            store.read(KEY)
        with pytest.raises(FileNotFoundError), store.local(KEY):
            pass
        assert [item.name for item in store.disk.walk("blobs")] == []
        (inside / "uploads").symlink_to(outside)
        with pytest.raises(OSError, match="Not a directory|symbolic links"):
            list(store.disk.walk("uploads"))

    @pytest.mark.parametrize("obstacle", ["folder", "fifo", "dangling link", "loop"])
    def test_what_lies_in_place_of_an_entry_is_no_result(self, folder: Place, obstacle: str) -> None:
        store = folder.store()
        path = folder.directory / NAMESPACE / place("index", KEY)
        path.parent.mkdir(parents=True)
        match obstacle:
            case "folder":
                path.mkdir()
            case "fifo":
                os.mkfifo(path)
            case "dangling link":
                path.symlink_to("nowhere")
            case "loop":
                path.symlink_to(path)

        assert store.get_entry(KEY) is None

        if obstacle == "folder":
            with pytest.raises(StorageError, match="cannot write the storage"):
                store.put_entry(entry())
        else:
            store.put_entry(entry())
            assert store.get_entry(KEY) is not None


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


class TestLocalCache:
    def fill(self, cache: LocalCache, number: int, size: int = 10) -> None:
        with cache.pinned(digest(number), lambda path: path.write_bytes(bytes(size)) and None):
            pass

    def kept(self, cache: LocalCache) -> set[int]:
        return {number for number in range(100) if (cache.directory / digest(number)).exists()}

    def test_the_least_recently_used_go_first(self, tmp_path: Path) -> None:
        cache = LocalCache(tmp_path, 50)

        for number in range(5):
            self.fill(cache, number)
        self.fill(cache, 0)
        self.fill(cache, 5)
        self.fill(cache, 6)

        assert self.kept(cache) == {0, 3, 4, 5, 6}
        assert cache.bytes == 50

    def test_what_is_in_use_is_never_evicted(self, tmp_path: Path) -> None:
        cache = LocalCache(tmp_path, 20)

        with (
            cache.pinned(digest(0), lambda path: path.write_bytes(b"0" * 10) and None) as path,
            cache.pinned(digest(0), lambda _: pytest.fail("fetched twice")),
        ):
            for number in range(1, 20):
                self.fill(cache, number)
            assert path.read_bytes() == b"0" * 10
            with cache.pinned(digest(50), lambda path: path.write_bytes(bytes(1000)) and None) as large:
                assert large.stat().st_size == 1000
                assert path.exists()

        assert not large.exists()
        assert cache.bytes <= 20

    def test_two_threads_fetch_the_same_once(self, tmp_path: Path) -> None:
        cache = LocalCache(tmp_path, 100)
        fetched: list[Path] = []
        gate = threading.Barrier(8)
        contents: list[bytes] = []

        def fetch(path: Path) -> None:
            fetched.append(path)
            time.sleep(0.05)
            path.write_bytes(b"once")

        def use() -> None:
            gate.wait()
            with cache.pinned(digest(1), fetch) as path:
                contents.append(path.read_bytes())

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(fetched) == 1
        assert contents == [b"once"] * 8

    def test_a_fetch_that_fails_leaves_nothing_and_is_tried_again(self, tmp_path: Path) -> None:
        cache = LocalCache(tmp_path, 100)

        def broken(path: Path) -> None:
            path.write_bytes(b"half")
            raise StorageError("broken")

        with pytest.raises(StorageError), cache.pinned(digest(1), broken):
            pass

        assert list(tmp_path.iterdir()) == []
        self.fill(cache, 1)
        assert self.kept(cache) == {1}

    def test_another_process_keeps_what_it_uses(self, tmp_path: Path) -> None:
        ours, theirs = multiprocessing.get_context("fork").Pipe()

        def hold() -> None:
            with LocalCache(tmp_path, 20).pinned(digest(0), lambda path: path.write_bytes(bytes(10)) and None):
                theirs.send("held")
                theirs.recv()

        child = multiprocessing.get_context("fork").Process(target=hold, daemon=True)
        child.start()
        assert ours.recv() == "held"
        cache = LocalCache(tmp_path, 20)
        for number in range(1, 6):
            self.fill(cache, number)
        assert 0 in self.kept(cache)
        assert cache.bytes <= 20

        ours.send("let go")
        child.join()
        for number in range(6, 9):
            self.fill(cache, number)

        assert self.kept(cache) == {7, 8}

    def test_a_new_process_takes_over_what_is_there(self, tmp_path: Path) -> None:
        first = LocalCache(tmp_path, 1000)
        for number in range(5):
            self.fill(first, number)
            os.utime(tmp_path / digest(number), (number, number))
        (tmp_path / f"{digest(9)}.{'ab' * 8}").write_bytes(b"half done")
        os.utime(tmp_path / f"{digest(9)}.{'ab' * 8}", (1, 1))
        (tmp_path / "not mine").write_bytes(b"x")

        second = LocalCache(tmp_path, 40)
        self.fill(second, 5)

        assert self.kept(second) == {2, 3, 4, 5}
        assert {path.name for path in tmp_path.iterdir()} == {*map(digest, (2, 3, 4, 5)), "not mine"}

    def test_a_copy_that_vanished_is_fetched_again(self, tmp_path: Path) -> None:
        cache = LocalCache(tmp_path, 100)
        self.fill(cache, 1)
        (tmp_path / digest(1)).unlink()

        with cache.pinned(digest(1), lambda path: path.write_bytes(b"again") and None) as path:
            assert path.read_bytes() == b"again"
        assert cache.bytes == 5

    def test_a_copy_that_is_evicted_just_before_it_is_locked_is_fetched_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = LocalCache(tmp_path, 100)
        self.fill(cache, 1)
        lock = fcntl.flock

        def evict_first(fd: int, how: int) -> None:
            (tmp_path / digest(1)).unlink(missing_ok=True)
            monkeypatch.undo()
            lock(fd, how)

        monkeypatch.setattr(fcntl, "flock", evict_first)

        with cache.pinned(digest(1), lambda path: path.write_bytes(b"again") and None) as path:
            assert path.read_bytes() == b"again"

    def test_many_threads_keep_its_books(self, tmp_path: Path) -> None:
        cache = LocalCache(tmp_path, 100)
        wrong: list[object] = []

        def use(seed: int) -> None:
            choose = random.Random(seed)
            for _ in range(200):
                number = choose.randrange(30)
                with cache.pinned(digest(number), lambda path, n=number: path.write_text(f"{n:010}") and None) as path:
                    if path.read_text() != f"{number:010}":
                        wrong.append(number)

        threads = [threading.Thread(target=use, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert wrong == []
        assert cache.bytes == 10 * len(self.kept(cache)) <= 100

    def test_a_blob_of_a_remote_storage_stays_while_it_is_used(self, memory: Place) -> None:
        store = memory.store(cache_bytes=30)
        ids = [store.put_bytes(bytes([number]) * 10) for number in range(10)]

        with store.local(ids[0]) as path:
            for sha256 in ids[1:]:
                with store.open(sha256) as stream:
                    assert len(stream.read()) == 10
            assert path.read_bytes() == bytes(10)

        assert sum(path.stat().st_size for path in memory.spool.iterdir()) <= 30


def test_no_descriptor_leaks(site: Place) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc here")
    store = site.store(cache_bytes=0)

    def work(number: int) -> None:
        blob = store.put_bytes(str(number).encode())
        store.put_entry(entry(inline=None, blob=blob))
        store.get_entry(KEY)
        store.has(OTHER)
        raises(FileNotFoundError, lambda: store.read(OTHER))
        with store.local(blob), store.open(blob):
            pass

    work(0)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(50):
        work(number)

    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_said_to_be_written_was_flushed(folder: Place) -> None:
    """Fsync comes before the rename: after a loss of power a name never leads to an empty file."""
    counting = Failing(os, OS_STEPS)
    store = folder.store(system=counting)

    for step in (lambda: store.put_bytes(b"x"), lambda: store.put_entry(entry())):
        counting.fail_at(None)
        step()
        kinds = [name for name in counting.calls if name in ("write", "fsync", "replace")]
        assert kinds == ["write", "fsync", "replace"]


def test_the_tests_know_all_steps_of_the_system() -> None:
    """A step that `Failing` does not know would never fail."""
    import re

    source = Path(__import__("cu.store").store.__file__).read_text()
    assert set(re.findall(r"\bsystem\.(\w+)", source)) - {"open"} <= OS_STEPS
    assert set(re.findall(r'self\.call\("(\w+)"', source)) <= FSSPEC_STEPS
