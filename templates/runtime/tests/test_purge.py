"""Purging: what goes and why, and above all what never does."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import datetime
import errno
import functools
import hashlib
import itertools
import json
import os
import random
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_store import FSSPEC_STEPS, NAMESPACE, OS_STEPS, Failing, Place, digest, entry, make_place

from cu import codec, purge
from cu.config import Settings, load_settings
from cu.ledger import Ledger, NewJob
from cu.purge import Done, Live, Plan, Refused, Rules, empty, restore, trashes
from cu.store import MARKER, Entry, NewerFormat, StorageError, Store, dump_entry, parse_entry, place

DAY = 86_400.0
ALL = Rules(unused_seconds=DAY)


def age(site: Place, days: float = 3) -> None:
    """Let everything that lies there now be older."""
    if site.kind == "memory":
        for file in site.filesystem.store.values():
            file.created -= datetime.timedelta(days=days)
        return
    for path in (site.directory / NAMESPACE).rglob("*"):
        facts = path.lstat()
        os.utime(path, (facts.st_atime, facts.st_mtime - days * DAY), follow_symlinks=False)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory if there is such a place: with fsync on a disk this takes minutes."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="cu-purge-") as directory:
        yield Path(directory)


@pytest.fixture(params=["folder", "memory", "generic"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request.param, tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    return make_place("folder", tmp_path)


def keep(store: Store, number: int, data: bytes | None = None, **changes: Any) -> str:
    """An entry under `digest(number)`, with its result in a blob when there is `data`."""
    blob = None if data is None else store.put_bytes(data)
    inline = b"{}" if blob is None else None
    made = entry(digest(number), blob=blob, inline=inline, **{"created": time.time() - 3 * DAY, **changes})
    store.put_entry(made)
    return made.key


def told(plan: Plan) -> set[tuple[str, str, str]]:
    return {(victim.kind, victim.id, victim.reason) for victim in plan.victims}


def do(store: Store, rules: Rules = ALL, live: Live = purge.NOTHING) -> tuple[Plan, Done]:
    made = purge.plan(store, rules, live=live)
    return made, purge.apply(store, made, confirm=len(made.victims), live=live)


def content(site: Place) -> dict[str, bytes]:
    return {name: data for name, data in site.files().items() if not name.startswith("trash/")}


class TestRules:
    def test_expired_results_go_with_their_bytes(self, site: Place) -> None:
        store = site.store()
        gone = keep(store, 1, b"gone", expires=time.time() - 1)
        keep(store, 2, b"later", expires=time.time() + DAY)
        keep(store, 3, b"for ever")
        age(site)

        made = purge.plan(site.store(), Rules())

        blob = hashlib.sha256(b"gone").hexdigest()
        assert told(made) == {("index", gone, "expired"), ("blobs", blob, "unreferenced")}
        assert [victim.bytes for victim in made.victims if victim.kind == "blobs"] == [4]

    def test_what_was_used_lately_stays_even_if_it_expired(self, site: Place) -> None:
        store = site.store()
        key = keep(store, 1, b"gone", expires=time.time() - 1)
        age(site)
        site.store().used("index", key)

        assert told(purge.plan(store, Rules())) == {("blobs", hashlib.sha256(b"gone").hexdigest(), "unreferenced")} - {
            ("blobs", hashlib.sha256(b"gone").hexdigest(), "unreferenced")
        }

    def test_code_that_the_manifest_has_in_another_version_is_old(self, site: Place) -> None:
        store = site.store()
        old = keep(store, 1, version="v0")
        keep(store, 2, version="v1")
        keep(store, 3, version="v0", name="other.image")
        age(site)
        keep(store, 4, version="v0")

        made = purge.plan(site.store(), Rules(versions={"tasks.mosaic": "v1"}))

        assert told(made) == {("index", old, "old code")}
        assert told(purge.plan(site.store(), Rules())) == set()

    def test_unused_counts_from_the_last_use(self, site: Place) -> None:
        store = site.store()
        first, second = keep(store, 1), keep(store, 2)
        age(site, 40)
        site.store().used("index", second)
        age(site, 10)

        assert told(purge.plan(store, Rules(unused_seconds=30 * DAY))) == {("index", first, "unused")}
        assert told(purge.plan(store, Rules(unused_seconds=60 * DAY))) == set()
        assert told(purge.plan(store, Rules(unused_seconds=0))) == {
            ("index", first, "unused"), ("index", second, "unused")
        }  # fmt: skip

    def test_beyond_a_size_the_least_recently_used_go_first(self, site: Place) -> None:
        store = site.store()
        keys = []
        for number in range(5):
            keys.append(keep(store, number, bytes([number]) * 10_000))
            age(site, 1)
        shared = keep(store, 9, bytes([0]) * 10_000)
        age(site, 1)

        made = purge.plan(site.store(), Rules(most_bytes=32_000))

        entries = {id_ for kind, id_, _ in told(made) if kind == "index"}
        assert entries == {keys[0], keys[1], keys[2]}
        assert shared not in entries
        assert sum(victim.kind == "blobs" for victim in made.victims) == 2
        do(site.store(), Rules(most_bytes=32_000))
        left = content(site)
        assert 20_000 < sum(len(data) for name, data in left.items() if name[:2] in ("in", "bl")) <= 32_000
        assert told(purge.plan(site.store(), Rules(most_bytes=32_000))) == set()

    def test_young_results_stay_however_little_room_is_asked_for(self, site: Place) -> None:
        keep(site.store(), 1, b"young")

        assert told(purge.plan(site.store(), Rules(most_bytes=0, unused_seconds=0))) == set()

    def test_blobs_that_nobody_names_go(self, site: Place) -> None:
        store = site.store()
        orphan = store.put_bytes(b"orphan")
        file = store.put_bytes(b"file")
        uploaded = store.put_bytes(b"uploaded")
        keep(store, 1, files=(file,))
        store.record_upload(uploaded, 8, "")
        age(site)
        store.put_bytes(b"young")

        assert told(purge.plan(site.store(), Rules())) == {("blobs", orphan, "unreferenced")}

    def test_half_written_files_and_the_use_of_what_is_gone_go_after_a_day(self, site: Place) -> None:
        site.store().used("index", digest(1))
        site.store().used("blobs", digest(2))
        site.write(f"tmp/{'a' * 32}", b"half")
        site.write("tmp/mine", b"not a file of the store")
        assert told(purge.plan(site.store(), Rules())) == set()
        age(site)
        site.write(f"tmp/{'b' * 32}", b"half")

        assert told(purge.plan(site.store(), Rules())) == {
            ("tmp", "a" * 32, "half written"),
            ("used/index", digest(1), "use of what is gone"),
            ("used/blobs", digest(2), "use of what is gone"),
        }

    def test_damaged_entries_go_and_do_not_keep_what_they_named(self, site: Place) -> None:
        store = site.store()
        keep(store, 1, b"lost")
        site.write(place("index", digest(1)), b"rubbish")
        age(site)

        blob = hashlib.sha256(b"lost").hexdigest()
        assert told(purge.plan(site.store(), Rules())) == {
            ("index", digest(1), "damaged"), ("blobs", blob, "unreferenced")
        }  # fmt: skip

    def test_an_entry_of_a_newer_version_stops_everything(self, site: Place) -> None:
        import msgpack

        store = site.store()
        _, checksum, body = msgpack.unpackb(dump_entry(entry()))
        site.write(place("index", digest(1)), msgpack.packb([2, checksum, body]))
        store.put_bytes(b"perhaps named by it")
        age(site)

        with pytest.raises(StorageError, match="of a newer cu.*purge with that one") as caught:
            purge.plan(site.store(), Rules())
        assert isinstance(caught.value.__cause__, NewerFormat)

    def test_uploads_go_by_their_last_use_and_results_keep_their_bytes(self, site: Place) -> None:
        store = site.store()
        ids = [store.put_bytes(data) for data in (b"unused", b"used", b"named", b"no upload")]
        for sha256 in ids[:3]:
            store.record_upload(sha256, 1, "")
        keep(store, 1, files=(ids[2],))
        age(site, 40)
        site.store().used("uploads", ids[1])

        made = purge.plan(site.store(), Rules("uploads", unused_seconds=30 * DAY))

        assert told(made) == {
            ("uploads", ids[0], "unused"), ("blobs", ids[0], "unreferenced"), ("uploads", ids[2], "unused")
        }  # fmt: skip

    def test_what_unfinished_jobs_read_stays(self, site: Place) -> None:
        store = site.store()
        keys = [keep(store, number, str(number).encode(), expires=1) for number in range(2)]
        argument, upload = store.put_bytes(b"arguments"), store.put_bytes(b"upload")
        store.record_upload(upload, 1, "")
        age(site, 40)
        live = Live(frozenset(keys[:1]), frozenset({argument, upload}))

        cache, uploads = (
            purge.plan(site.store(), Rules(one, unused_seconds=0), live=live) for one in ("cache", "uploads")
        )

        assert told(cache) == {
            ("index", keys[1], "expired"),
            ("blobs", hashlib.sha256(b"1").hexdigest(), "unreferenced"),
        }
        assert told(uploads) == set()
        assert told(purge.plan(site.store(), Rules(most_bytes=0), live=live)) == told(cache)

    def test_a_plan_changes_nothing(self, site: Place) -> None:
        fill(site)
        before = site.files()

        made = purge.plan(site.store(), ALL)

        assert made.victims
        assert site.files() == before


def fill(site: Place) -> dict[str, bytes]:
    """A bit of everything, of which a part may go. Returns all of it."""
    store = site.store()
    keep(store, 1, b"old result")
    keep(store, 2)
    keep(store, 3, b"shared")
    uploaded = store.put_bytes(b"upload")
    store.record_upload(uploaded, 6, "a.tif")
    store.put_bytes(b"orphan")
    site.store().used("index", digest(77))
    site.write(f"tmp/{'a' * 32}", b"half")
    age(site)
    keep(store, 4, b"shared", created=time.time())
    keep(store, 5, b"young", files=(uploaded,), created=time.time())
    return content(site)


@functools.cache
def template(kind: str, is_purged: bool) -> tuple[Place, dict[str, bytes]]:
    directory = tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    atexit.register(directory.cleanup)
    site = make_place(kind, Path(directory.name))
    before = fill(site)
    if is_purged:
        do(site.store())
    return site, before


def filled(kind: str, directory: Path, is_purged: bool = False) -> tuple[Place, dict[str, bytes]]:
    """Like `fill`, and `do` after it, for the many times that one storage is broken in another way."""
    original, before = template(kind, is_purged)
    directory.mkdir()
    site = make_place(kind, directory)
    if kind == "memory":
        for name, file in original.filesystem.store.items():
            copy = MemoryFile(site.filesystem, name.replace(original.url, site.url), file.getvalue())
            copy.created = file.created
            site.filesystem.store[copy.path] = copy
    else:
        shutil.copytree(original.directory, site.directory, dirs_exist_ok=True)
    return site, before


def check_live(site: Place, keys: tuple[int, ...] = (4, 5)) -> None:
    """What is alive can be read, with all that it names."""
    store = site.store()
    for number in keys:
        found = store.get_entry(digest(number))
        assert found is not None, number
        for sha256 in found.refers_to:
            assert hashlib.sha256(store.read(sha256)).hexdigest() == sha256
    for item in list(store.disk.walk("uploads")):
        assert store.has(item.name.rpartition("/")[2])


GOES = {("index", 1), ("index", 2), ("index", 3), ("blobs", b"old result"), ("blobs", b"orphan")}


class TestApply:
    def test_it_moves_and_restore_brings_back_every_byte(self, site: Place) -> None:
        before = fill(site)

        made, done = do(site.store())

        assert (done.count, done.left) == (len(made.victims), 0) == (7, 0)
        assert done.bytes == made.bytes
        names = {
            place(kind, digest(one) if isinstance(one, int) else hashlib.sha256(one).hexdigest()) for kind, one in GOES
        }
        rest = {f"tmp/{'a' * 32}", f"used/{place('index', digest(77))}"}
        assert content(site) == {name: data for name, data in before.items() if name not in names | rest}
        assert {name for name in site.files() if name.startswith("trash/")} == {
            f"trash/{made.id}/{name}" for name in [*names, *rest, "plan.json"]
        }
        check_live(site)

        back = restore(site.store(), made.id)

        assert back == done
        assert site.files() == before
        assert trashes(site.store()) == []

    def test_a_plan_survives_its_file(self, site: Place, tmp_path: Path) -> None:
        fill(site)
        made = purge.plan(site.store(), dataclasses.replace(ALL, versions={"a": "b"}, most_bytes=10**9))

        purge.write_plan(made, tmp_path / "plan")
        again = purge.read_plan(tmp_path / "plan")

        assert again == made
        assert [victim.reason for victim in again.victims] == [victim.reason for victim in made.victims]
        assert purge.apply(site.store(), again, confirm=len(made.victims)).left == 0

    def test_much_of_what_is_there_needs_the_number(self, site: Place) -> None:
        before = fill(site)
        made = purge.plan(site.store(), ALL)
        assert made.share == pytest.approx(0.6)

        with pytest.raises(Refused, match=r"would remove 60% of what is there; if that is right: --confirm 7"):
            purge.apply(site.store(), made)
        with pytest.raises(Refused, match="names 7 files, not 8"):
            purge.apply(site.store(), made, confirm=8)

        assert site.files() == before

    def test_a_little_needs_no_number(self, site: Place) -> None:
        for number in range(10):
            keep(site.store(), number, bytes(1000 + number), expires=1 if number == 0 else None)
        age(site)
        made = purge.plan(site.store(), Rules())

        assert made.share < 0.2
        assert purge.apply(site.store(), made).count == 2

    def test_the_bytes_count_as_well_as_the_results(self, site: Place) -> None:
        for number in range(10):
            keep(site.store(), number, bytes(100_000 if number == 0 else number), expires=1 if number == 0 else None)
        age(site)

        with pytest.raises(Refused, match="of what is there"):
            purge.apply(site.store(), purge.plan(site.store(), Rules()))

    def test_a_plan_of_another_storage_or_of_yesterday_is_refused(self, site: Place) -> None:
        before = fill(site)
        made = purge.plan(site.store(), ALL)

        with pytest.raises(Refused, match="of another storage"):
            purge.apply(site.store(), dataclasses.replace(made, marker="other"), confirm=7)
        for moment in (made.created + 1.1 * DAY, made.created - DAY):
            with pytest.raises(Refused, match="older than a day, or a clock is wrong"):
                purge.apply(site.store(), made, confirm=7, now=moment)

        assert site.files() == before

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda lines: [],
            lambda lines: lines[:-1],
            lambda lines: lines[1:],
            lambda lines: [*lines, lines[-1]],
            lambda lines: [line.replace(digest(1), "../../etc/passwd") for line in lines],
            lambda lines: [line.replace('"index"', '".."') for line in lines],
            lambda lines: [line.replace('"index"', '"trash"') for line in lines],
            lambda lines: [line.replace('"bytes"', '"size"') for line in lines],
            lambda lines: ["{", *lines],
            lambda lines: ["[]"],
        ],
    )
    def test_a_spoiled_plan_is_refused(
        self, folder: Place, tmp_path: Path, spoil: Callable[[list[str]], list[str]]
    ) -> None:
        fill(folder)
        purge.write_plan(purge.plan(folder.store(), ALL), tmp_path / "plan")
        lines = (tmp_path / "plan").read_text().splitlines()
        (tmp_path / "plan").write_text("\n".join(spoil(lines)))

        with pytest.raises(Refused, match="is not a plan"):
            purge.read_plan(tmp_path / "plan")

    def test_a_plan_that_names_more_than_the_rules_find_takes_no_more(self, site: Place) -> None:
        fill(site)
        made = purge.plan(site.store(), ALL)
        live = [digest(4), digest(5)]
        forged = [dataclasses.replace(made.victims[0], id=key) for key in live]
        forged += [dataclasses.replace(made.victims[0], kind="blobs", id=hashlib.sha256(b"young").hexdigest())]

        done = purge.apply(site.store(), dataclasses.replace(made, victims=[*forged, *made.victims]), confirm=10)

        assert (done.count, done.left) == (7, 3)
        check_live(site)

    def test_what_changed_since_the_plan_stays(self, site: Place) -> None:
        fill(site)
        made = purge.plan(site.store(), ALL)
        store = site.store()
        assert store.get_entry(digest(1)) is not None
        keep(store, 2, b"computed anew")
        keep(store, 6, b"orphan")
        site.write(f"tmp/{'a' * 32}", b"goes on")

        done = purge.apply(site.store(), made, confirm=7)

        assert (done.count, done.left) == (2, 5)
        assert {id_ for id_, _ in done.skipped} >= {digest(1), digest(2), "a" * 32}
        assert {why for _, why in done.skipped} == {"used, changed or gone since the plan"}
        check_live(site, (1, 2, 4, 5, 6))

    def test_restore_leaves_what_is_newer_in_place(self, site: Place) -> None:
        fill(site)
        made, _ = do(site.store())
        keep(site.store(), 2, b"computed anew")
        site.store().put_bytes(b"orphan")

        back = restore(site.store(), made.id)

        assert (back.count, back.left) == (6, 1)
        found = site.store().get_entry(digest(2))
        assert found is not None
        assert found.blob == hashlib.sha256(b"computed anew").hexdigest()
        assert [(one.id, len(one.items)) for one in trashes(site.store())] == [(made.id, 1)]

    @pytest.mark.parametrize("step", ["apply", "restore"])
    def test_at_no_moment_a_result_is_there_without_its_bytes(self, folder: Place, step: str, tmp_path: Path) -> None:
        for number in itertools.count(1):
            site, _ = filled("folder", tmp_path / str(number), is_purged=step == "restore")
            store = site.store()
            incomplete: list[str] = []

            def check(site: Place = site, incomplete: list[str] = incomplete) -> None:
                there = site.store()
                for name, data in site.files().items():
                    if name.startswith("index/"):
                        refers_to = parse_entry(name.rpartition("/")[2], data).refers_to
                        incomplete.extend(sha256 for sha256 in refers_to if there.size(sha256) is None)

            store.disk = looking = Meanwhile(store.disk, DISK_STEPS, number, check)  # type: ignore[assignment]
            if step == "apply":
                purge.apply(store, purge.plan(site.store(), ALL), confirm=7)
            else:
                restore(store, trashes(site.store())[0].id)

            assert incomplete == []
            if not looking.is_done:
                return

    def test_only_what_is_in_the_trash_can_be_restored(self, site: Place) -> None:
        fill(site)
        for plan_id in ("20260101T000000-00000000", "../..", "", "x"):
            with pytest.raises(Refused, match="nothing of a plan"):
                restore(site.store(), plan_id)

    def test_applied_again_it_does_nothing(self, site: Place) -> None:
        fill(site)
        made, done = do(site.store())
        after = site.files()

        assert purge.apply(site.store(), made, confirm=7) == Done(0, 0, 7)
        assert {name for name in site.files() if "plan.json" not in name} == {
            name for name in after if "plan.json" not in name
        }
        restore(site.store(), made.id)
        assert purge.apply(site.store(), made, confirm=7).count == done.count or site.kind == "memory"


class TestEmpty:
    def test_only_after_quarantine_and_for_good(self, site: Place) -> None:
        fill(site)
        made, done = do(site.store())
        rest = content(site)

        assert empty(site.store(), 7 * DAY) == (Done(0, 0, 0), [])
        assert len(trashes(site.store())) == 1
        gone, ids = empty(site.store(), 7 * DAY, now=time.time() + 8 * DAY)

        assert (gone, ids) == (Done(7, done.bytes, 0), [made.id])
        assert site.files() == rest
        check_live(site)

    def test_a_blob_that_is_named_after_all_comes_back(self, site: Place) -> None:
        """However it came about: a disk that was restored from a backup, for instance."""
        fill(site)
        made, _ = do(site.store())
        blob = hashlib.sha256(b"orphan").hexdigest()
        site.write(place("index", digest(8)), dump_entry(entry(digest(8), blob=blob, inline=None)))

        gone, _ = empty(site.store(), -1)

        assert (gone.count, gone.left) == (6, 1)
        assert site.store().read(blob) == b"orphan"
        check_live(site, (4, 5, 8))

    def test_a_trash_of_unknown_age_and_strangers_stay(self, site: Place) -> None:
        fill(site)
        made, _ = do(site.store())
        site.write(f"trash/{made.id}/notes", b"mine")
        site.write("trash/notes", b"mine")
        site.write(f"trash/{made.id}/plan.json", b"{")

        assert empty(site.store(), -1, now=time.time() + 99 * DAY) == (Done(0, 0, 0), [])

        site.write(f"trash/{made.id}/plan.json", b'{"time": 1}')
        assert empty(site.store(), 0)[0].count == 7
        assert {name for name in site.files() if name.startswith("trash/")} == {"trash/notes", f"trash/{made.id}/notes"}


class TestMarker:
    @pytest.mark.parametrize("change", ["missing", "foreign"])
    def test_nothing_works_without_the_right_one(
        self, site: Place, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("cu.store.MARKER_SECONDS", 1e-6)
        fill(site)
        made, _ = do(site.store())
        again = purge.plan(site.store(), Rules())
        store = site.store()
        if change == "missing":
            site.remove(MARKER)
        else:
            site.write(MARKER, json.dumps({"format": 1, "id": "other", "project-env": NAMESPACE}).encode())
        before = site.files()

        for step in (
            lambda: purge.plan(store, ALL), lambda: purge.apply(store, again, confirm=0),
            lambda: restore(store, made.id), lambda: empty(store, -1),
        ):  # fmt: skip
            with pytest.raises(StorageError, match="is not mounted" if change == "missing" else "is another one"):
                step()

        assert site.files() == before

    def test_it_may_vanish_at_any_moment(self, folder: Place, tmp_path: Path) -> None:
        for number in itertools.count(1):
            site, before = filled("folder", tmp_path / str(number))
            marker = site.directory / NAMESPACE / MARKER
            made = purge.plan(site.store(), ALL)
            disk = Meanwhile(
                site.store().disk, DISK_STEPS, number, lambda marker=marker: marker.rename(f"{marker}.gone")
            )
            store = site.store()
            store.disk = disk

            with contextlib.suppress(StorageError):
                purge.apply(store, made, confirm=7)

            if not disk.is_done:
                return
            calls = disk.calls[number:]
            assert len([name for name in calls if name == "move"]) <= 1
            Path(f"{marker}.gone").rename(marker)
            with contextlib.suppress(Refused):
                restore(site.store(), made.id)
            assert content(site) == before

    @pytest.mark.parametrize("kind", ["folder", "generic"])
    def test_a_storage_that_is_gone_for_a_moment_is_not_an_empty_one(self, kind: str, tmp_path: Path) -> None:
        """Else all blobs would be unreferenced while the index cannot be seen."""
        site, _ = filled(kind, tmp_path / "one")
        expected = told(purge.plan(site.store(), ALL))
        inside = site.directory / NAMESPACE
        refused = 0
        for number in itertools.count(1):
            steps, system = (OS_STEPS, os) if kind == "folder" else (FSSPEC_STEPS, site.filesystem)
            back = Meanwhile(system, steps, -1, lambda: Path(f"{inside}.gone").rename(inside))
            gone = Meanwhile(back, steps, -1, lambda: inside.rename(f"{inside}.gone"))
            store = site.store(system=gone)
            gone.fail_at(number)
            back.fail_at(number + 1)

            try:
                assert told(purge.plan(store, ALL)) == expected
            except StorageError:
                refused += 1
            if not gone.is_done:
                assert refused > 5
                return
            if not inside.exists():
                Path(f"{inside}.gone").rename(inside)

    def test_another_purge_may_be_at_work(self, folder: Place) -> None:
        fill(folder)
        made = purge.plan(folder.store(), ALL)
        for number in itertools.count(1):
            store = folder.store()
            store.disk = racing = Meanwhile(  # type: ignore[assignment]
                store.disk, {"read"}, number, lambda: purge.apply(folder.store(), made, confirm=7)
            )
            again = purge.plan(store, ALL)
            purge.apply(store, again, confirm=len(again.victims))
            check_live(folder)
            if not racing.is_done:
                return
            for one in trashes(folder.store()):
                restore(folder.store(), one.id)


DISK_STEPS = {"stat", "read", "move", "put", "remove", "walk", "identity", "open"}


class Meanwhile(Failing):
    """Does something just before one of the steps, as another process might."""

    def __init__(self, inner: Any, steps: set[str], number: int, action: Callable[[], object]) -> None:
        super().__init__(inner, steps, self.act)
        self.action = action
        self.is_done = False
        self.fails_at = number

    def act(self) -> OSError:
        raise AssertionError

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name not in self.steps:
            return found

        def step(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) == self.fails_at:
                self.is_done = True
                self.action()
            return found(*arguments, **options)

        return step


class TestRaces:
    """Another process works at each moment of `apply` in turn; what it was told stays true."""

    @pytest.mark.parametrize("work", ["put", "get", "upload", "has then put"])
    @pytest.mark.parametrize("kind", ["folder", "memory", "generic"])
    def test_what_is_used_meanwhile_stays(self, kind: str, work: str, tmp_path: Path) -> None:
        kept = 0
        for number in itertools.count(1):
            site, before = filled(kind, tmp_path / str(number))
            made = purge.plan(site.store(), ALL)
            told: list[int] = []

            def act(site: Place = site, told: list[int] = told) -> None:
                other = site.store()
                match work:
                    case "put":
                        told.append(int(keep(other, 8, b"orphan") == digest(8)) * 8)
                        keep(other, 2, b"old result")
                        told.append(2)
                    case "get":
                        if other.get_entry(digest(1)) is not None:
                            told.append(1)
                    case "upload":
                        other.record_upload(other.put_bytes(b"orphan"), 6, "")
                    case "has then put":
                        sha256 = hashlib.sha256(b"orphan").hexdigest()
                        if other.has(sha256):
                            other.put_entry(entry(digest(8), blob=sha256, inline=None))
                            told.append(8)

            if kind == "folder":
                store = site.store()
                store.disk = racing = Meanwhile(store.disk, DISK_STEPS, number, act)
            else:
                racing = Meanwhile(site.filesystem, FSSPEC_STEPS, number, act)
                store = site.store()
                store.disk.filesystem = racing
            done = purge.apply(store, made, confirm=7)

            if not racing.is_done:
                assert kept > 5
                return
            kept += done.left > 0
            check_live(site, (4, 5, *told))
            with contextlib.suppress(Refused):
                restore(site.store(), made.id)
            check_live(site, (4, 5, *told))
            after = {f"trash/{made.id}/{name}": name for name in before}
            there = {**site.files(), **{after.get(name, name): data for name, data in site.files().items()}}
            assert {name: data for name, data in before.items() if not name.startswith("used/")}.items() <= {
                **there, **{name: data for name, data in before.items() if name in (place("index", digest(2)),)}
            }.items()  # fmt: skip

    def test_a_result_that_is_written_between_two_steps_of_the_system_stays(self, tmp_path: Path) -> None:
        """Of a move too, which therefore must be one."""
        for number in itertools.count(1):
            site, _ = filled("folder", tmp_path / str(number))
            made = purge.plan(site.store(), ALL)
            act = lambda site=site: keep(site.store(), 2, b"computed anew")  # noqa: E731
            racing = Meanwhile(os, OS_STEPS, -1, act)
            store = site.store(system=racing)
            racing.fail_at(number)

            purge.apply(store, made, confirm=7)

            if not racing.is_done:
                assert number > 100
                return
            found = site.store().get_entry(digest(2))
            assert found is not None, racing.calls[number - 1]
            assert site.store().read(str(found.blob)) == b"computed anew"

    @pytest.mark.parametrize("work", ["put", "get", "has then put", "an entry alone"])
    @pytest.mark.parametrize("kind", ["folder", "memory"])
    def test_all_of_apply_falls_between_two_steps_of_a_writer(self, kind: str, work: str, tmp_path: Path) -> None:
        orphan = hashlib.sha256(b"orphan").hexdigest()
        for number in itertools.count(1):
            site, _ = filled(kind, tmp_path / str(number))
            made = purge.plan(site.store(), ALL)
            writer = site.store()
            writer.disk = racing = Meanwhile(  # type: ignore[assignment]
                writer.disk, DISK_STEPS, number, lambda site=site, made=made: purge.apply(site.store(), made, confirm=7)
            )
            is_there = False
            try:
                match work:
                    case "put":
                        is_there = writer.put_bytes(b"orphan") == orphan
                    case "has then put":
                        is_there = writer.has(orphan)
                    case "an entry alone":
                        is_there = True
                    case "get":
                        found = writer.get_entry(digest(1))
                        assert found is None or writer.read(str(found.blob)) == b"old result"
                if is_there:
                    writer.put_entry(entry(digest(8), blob=orphan, inline=None))
            except StorageError as error:
                assert "purged: call again" in str(error)
                is_there = False
            if not racing.is_done:
                return
            check_live(site, (4, 5, 8) if is_there else (4, 5))

    @pytest.mark.parametrize("kind", ["folder", "memory"])
    def test_the_halves_of_a_write_fall_anywhere(self, kind: str, tmp_path: Path) -> None:
        """The blob is put at one moment of `apply`, the entry that names it at a later one."""
        choose = random.Random(5)
        total = 0
        pairs = [(first, second) for second in range(1, 45) for first in range(1, second)]
        for number, (first, second) in enumerate(choose.sample(pairs, 150)):
            site, _ = filled(kind, tmp_path / str(number))
            made = purge.plan(site.store(), ALL)
            other = site.store()
            blobs: list[str] = []
            later = Meanwhile(
                site.store().disk, DISK_STEPS, second,
                lambda blobs=blobs, other=other: other.put_entry(entry(digest(8), blob=blobs[0], inline=None)),
            )  # fmt: skip
            racing = Meanwhile(
                later, DISK_STEPS, first, lambda blobs=blobs, other=other: blobs.append(other.put_bytes(b"orphan"))
            )
            store = site.store()
            store.disk = racing  # type: ignore[assignment]

            purge.apply(store, made, confirm=7)

            total += later.is_done
            check_live(site, (4, 5, 8) if later.is_done else (4, 5))
        assert total > 20

    def test_many_writers_at_once(self, site: Place) -> None:
        store = site.store()
        for number in range(60):
            keep(store, number, str(number).encode())
        age(site)
        made = purge.plan(site.store(), ALL)
        assert len(made.victims) == 120
        written: list[int] = []
        problems: list[Exception] = []

        def write(seed: int) -> None:
            choose = random.Random(seed)
            other = site.store()
            try:
                for _ in range(30):
                    number = choose.randrange(60)
                    if choose.random() < 0.5:
                        keep(other, 100 + number, str(number).encode(), created=time.time())
                        written.append(100 + number)
                    elif other.get_entry(digest(number)) is not None:
                        written.append(number)
            except StorageError as error:
                if "purged: call again" not in str(error):
                    problems.append(error)
            except Exception as error:
                problems.append(error)

        threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        purge.apply(site.store(), made, confirm=120)
        for thread in threads:
            thread.join()

        assert problems == []
        check_live(site, tuple(set(written)))


class TestFailures:
    """Each step of the system fails once, in turn."""

    @pytest.mark.parametrize("kind", ["folder", "memory", "generic"])
    def test_apply(self, kind: str, tmp_path: Path) -> None:
        failed = 0
        for number in itertools.count(1):
            site, before, failing, store = self.broken(kind, tmp_path / str(number))
            made = purge.plan(site.store(), ALL)
            failing.fail_at(number)
            try:
                purge.apply(store, made, confirm=7)
            except StorageError:
                failed += 1
            if len(failing.calls) < number:
                assert failed > 40
                return
            check_live(site)
            with contextlib.suppress(Refused):
                restore(site.store(), made.id)
            assert {name: data for name, data in site.files().items() if not name.startswith("tmp/")} == {
                name: data for name, data in before.items() if not name.startswith("tmp/")
            } or failing.calls[number - 1] in ("unlink", "rm_file")
            assert before.items() <= site.files().items()

    @pytest.mark.parametrize("kind", ["folder", "memory", "generic"])
    def test_restore(self, kind: str, tmp_path: Path) -> None:
        for number in itertools.count(1):
            site, before, failing, store = self.broken(kind, tmp_path / str(number), is_purged=True)
            plan_id = trashes(site.store())[0].id
            failing.fail_at(number)
            with contextlib.suppress(StorageError):
                restore(store, plan_id)
            if len(failing.calls) < number:
                return
            check_live(site)
            with contextlib.suppress(Refused):
                restore(site.store(), plan_id)
            assert before.items() <= site.files().items()

    @pytest.mark.parametrize("kind", ["folder", "memory", "generic"])
    def test_empty(self, kind: str, tmp_path: Path) -> None:
        for number in itertools.count(1):
            site, _, failing, store = self.broken(kind, tmp_path / str(number), is_purged=True)
            rest = content(site)
            failing.fail_at(number)
            with contextlib.suppress(StorageError):
                empty(store, -1)
            if len(failing.calls) < number:
                return
            assert content(site) == rest
            empty(site.store(), -1)
            assert content(site) == rest
            assert [one for one in trashes(site.store()) if one.items] == []

    def broken(
        self, kind: str, directory: Path, is_purged: bool = False
    ) -> tuple[Place, dict[str, bytes], Failing, Store]:
        site, before = filled(kind, directory, is_purged)
        problem = lambda: OSError(errno.EIO, "broken")  # noqa: E731
        failing = (
            Failing(os, OS_STEPS, problem) if kind == "folder" else Failing(site.filesystem, FSSPEC_STEPS, problem)
        )
        return site, before, failing, site.store(system=failing)


# ---- trees that nobody would build, with sentinels outside

NAMES = st.sampled_from(
    [
        "", "x", "ab", "AB", "...", "-rf", "a b", "new\nline", "ünïcode", "*", "~", "$HOME", "'; rm", "x" * 255, "%2e%2e",
        "cu-storage.json", "plan.json", digest(0), digest(1).upper(), digest(2) + "~", "a" * 32, "\udcff",
    ]
)  # fmt: skip
FOLDERS = st.sampled_from(
    [
        "", "index", "blobs", "uploads", "used", "used/index", "used/blobs", "tmp", "trash", "trash/20260101T000000-00000000",
        "trash/20260101T000000-00000000/index", "trash/20260101T000000-00000000/blobs/ab", "deep/er/and/deep/er/still",
    ]
)  # fmt: skip
OBSTACLES = st.sampled_from(
    ["file", "folder", "fifo", "link to file", "link to folder", "dangling", "loop", "up", "hard link", "socket name"]
)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "entries": draw(
            st.lists(
                st.tuples(
                    st.integers(0, 15),  # its key
                    st.one_of(st.none(), st.integers(0, 6)),  # its blob
                    st.lists(st.integers(0, 6), max_size=3),  # its files
                    st.sampled_from([None, 1.0, 1e11]),  # when it expires
                    st.sampled_from(["v0", "v1"]),
                    st.booleans(),  # old
                    st.booleans(),  # used lately
                ),
                max_size=10,
            )
        ),
        "orphans": draw(st.lists(st.tuples(st.integers(7, 12), st.booleans()), max_size=4)),
        "uploads": draw(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=4)),
        "damaged": draw(st.lists(st.integers(0, 20), max_size=2)),
        "hostile": draw(st.lists(st.tuples(FOLDERS, NAMES, OBSTACLES), max_size=8)),
        "in place": draw(
            st.lists(
                st.tuples(st.sampled_from(["index", "blobs", "uploads", "tmp"]), st.integers(0, 15), OBSTACLES),
                max_size=4,
            )
        ),
        "shards": draw(st.lists(st.tuples(st.sampled_from(["index", "blobs"]), st.integers(0, 15)), max_size=2)),
        "rules": draw(
            st.builds(
                Rules,
                scope=st.sampled_from(["cache", "uploads"]),
                unused_seconds=st.sampled_from([None, 0.0, DAY, 30 * DAY]),
                most_bytes=st.sampled_from([None, 0, 300, 10**9]),
                versions=st.sampled_from([None, {}, {"tasks.mosaic": "v1"}]),
            )
        ),
        "live": draw(
            st.sampled_from([purge.NOTHING, Live(frozenset({digest(0)}), frozenset({blob_id(0), blob_id(9)}))])
        ),
    }


def blob_bytes(number: int) -> bytes:
    return f"blob {number} ".encode() * (number + 1)


def blob_id(number: int) -> str:
    return hashlib.sha256(blob_bytes(number)).hexdigest()


def obstacle(path: Path, kind: str, outside: Path) -> None:
    """Something that the store never wrote, at a path that may be taken or impossible."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        match kind:
            case "file" | "socket name":
                if not path.exists():
                    path.write_bytes(b"a stranger's")
            case "folder":
                (path / "inside").mkdir(parents=True)
                (path / "inside" / digest(3)).write_bytes(b"a stranger's")
            case "fifo":
                os.mkfifo(path)
            case "link to file":
                path.symlink_to(outside / "sentinel")
            case "link to folder":
                path.symlink_to(outside / "folder")
            case "dangling":
                path.symlink_to(outside / "nowhere")
            case "loop":
                path.symlink_to(path.name)
            case "up":
                path.symlink_to("..")
            case "hard link":
                os.link(outside / "linked", path)


def build(tree: dict[str, Any], base: Path) -> Place:
    outside = base / "outside"
    (outside / "folder" / "ab").mkdir(parents=True)
    (outside / "sentinel").write_bytes(b"sentinel")
    (outside / "linked").write_bytes(b"linked")
    for number in range(16):
        # What a link in place of a folder would lead to, if it were followed.
        for target in (outside / "folder" / digest(number), outside / "folder" / "ab" / digest(number)):
            target.write_bytes(b"sentinel")
            os.utime(target, (1, 1))
    site = make_place("folder", base)
    store = site.store()
    inside = site.directory / NAMESPACE
    for kind, number in tree["shards"]:
        id_ = digest(number) if kind == "index" else blob_id(number % 13)
        obstacle(inside / kind / id_[:2], "link to folder", outside)
    lately: list[str] = []
    for number, blob, files, expires, version, is_old, is_used in tree["entries"]:
        with contextlib.suppress(StorageError):
            refers = tuple(store.put_bytes(blob_bytes(one)) for one in files)
            data = None if blob is None else blob_bytes(blob)
            keep(store, number, data, files=refers, expires=expires, version=version)
            lately += [digest(number)] * is_used
            age(site, 3) if is_old else None
    for number, is_old in tree["orphans"]:
        with contextlib.suppress(StorageError):
            store.put_bytes(blob_bytes(number))
            age(site, 3) if is_old else None
    for number, is_old in tree["uploads"]:
        with contextlib.suppress(StorageError):
            store.record_upload(store.put_bytes(blob_bytes(number)), 1, "")
            age(site, 40) if is_old else None
    for number in tree["damaged"]:
        path = inside / place("index", digest(number))
        with contextlib.suppress(OSError):
            if not path.is_symlink() and not path.parent.is_symlink() and not path.exists():
                site.write(place("index", digest(number)), b"rubbish")
    for kind, number, what in tree["in place"]:
        path = inside / (f"tmp/{number:032x}" if kind == "tmp" else place(kind, digest(number)))
        obstacle(path, what, outside)
    for where, name, what in tree["hostile"]:
        if name:
            obstacle(inside / where / name, what, outside)
    for key in lately:
        site.store().used("index", key)
    return site


def snapshot(root: Path) -> dict[str, object]:
    """Every name below, without following links: what it is and holds."""
    found: dict[str, object] = {}
    for directory, folders, files in os.walk(root, followlinks=False):
        for name in [*folders, *files]:
            path = Path(directory, name)
            facts = path.lstat()
            if path.is_symlink():
                what: object = os.readlink(path)
            elif path.is_file():
                what = (path.read_bytes(), facts.st_mode, facts.st_mtime_ns)
            else:
                what = "folder" if path.is_dir() else "other"
            found[os.path.relpath(path, root)] = what
    return found


def only_files(found: dict[str, object]) -> dict[str, object]:
    return {name: what for name, what in found.items() if what != "folder"}


def living(site: Place) -> dict[str, Entry]:
    """What callers can get, with all its bytes. Leaves no trace."""
    store = site.store()
    store._used = {f"used/{place('index', digest(number))}": time.time() for number in range(30)}
    found = {}
    for number in range(30):
        with contextlib.suppress(StorageError):
            one = store.get_entry(digest(number))
            if one is not None and all(store.size(sha256) is not None for sha256 in one.refers_to):
                found[one.key] = one
    return found


SLOW = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


class TestHostileTrees:
    @given(tree=trees())
    @SLOW
    def test_nothing_is_eaten(self, tree: dict[str, Any], tmp_path: Path) -> None:
        base = tmp_path / uuid.uuid4().hex
        site = build(tree, base)
        outside, before, alive = snapshot(base / "outside"), snapshot(site.directory), living(site)
        rules, live = tree["rules"], tree["live"]

        try:
            made = purge.plan(site.store(), rules, live=live)
        except StorageError as error:
            # A link in place of one of its folders: it does not know what is in use, and so does nothing.
            assert "never followed" in str(error)
            assert snapshot(site.directory) == before
            return
        assert snapshot(site.directory) == before
        done = purge.apply(site.store(), made, confirm=len(made.victims), live=live)

        assert done.left == 0
        gone = {victim.id for victim in made.victims if victim.kind == "index"}
        assert living(site) == {key: one for key, one in alive.items() if key not in gone}
        assert gone.isdisjoint(live.keys)
        assert {victim.id for victim in made.victims if victim.kind == "blobs"}.isdisjoint(live.blobs)
        assert snapshot(base / "outside") == outside

        if made.victims:
            restore(site.store(), made.id)
        assert only_files(snapshot(site.directory)) == only_files(before)
        assert living(site) == alive

        again, _ = do(site.store(), rules, live)
        assert told(again) == told(made)
        empty(site.store(), -1, now=time.time() + 1)
        names = {purge.path_of(victim.kind, victim.id) for victim in made.victims}
        expected = {
            name: what for name, what in only_files(before).items() if name.removeprefix(f"{NAMESPACE}/") not in names
        }
        there = only_files(snapshot(site.directory))
        trash = f"{NAMESPACE}/trash/20260101T000000-00000000/"
        assert {name: what for name, what in there.items() if not name.startswith(trash)} == {
            name: what for name, what in expected.items() if not name.startswith(trash)
        }
        assert snapshot(base / "outside") == outside
        shutil.rmtree(base)

    @given(tree=trees(), number=st.integers(1, 400), step=st.sampled_from(["apply", "restore", "empty"]))
    @SLOW
    def test_nothing_is_eaten_when_the_disk_fails(
        self, tree: dict[str, Any], number: int, step: str, tmp_path: Path
    ) -> None:
        base = tmp_path / uuid.uuid4().hex
        site = build({**tree, "shards": []}, base)
        outside, before = snapshot(base / "outside"), snapshot(site.directory)
        failing = Failing(os, OS_STEPS)
        try:
            made = purge.plan(site.store(), tree["rules"])
        except StorageError:
            return
        broken = site.store(system=failing)
        if step != "apply":
            purge.apply(site.store(), made, confirm=len(made.victims))
        alive = living(site)

        failing.fail_at(number)
        with contextlib.suppress(StorageError, Refused):
            match step:
                case "apply":
                    purge.apply(broken, made, confirm=len(made.victims))
                case "restore":
                    restore(broken, made.id)
                case "empty":
                    empty(broken, 1e9)

        gone = {victim.id for victim in made.victims if victim.kind == "index"}
        assert {key for key in alive if key not in gone} <= living(site).keys()
        with contextlib.suppress(Refused):
            restore(site.store(), made.id)
        after = only_files(snapshot(site.directory))
        assert only_files(before).items() <= after.items()
        assert snapshot(base / "outside") == outside
        shutil.rmtree(base)


# ---- the command


class Command:
    def __init__(self, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.site = make_place("folder", tmp_path)
        self.tmp_path = tmp_path
        self.capsys = capsys
        self.settings: Settings = dataclasses.replace(
            load_settings(),
            project=NAMESPACE.partition("-")[0],
            env=f"{uuid.uuid4().hex[:8]}",
            broker_url=redis_url,
            storage_url=self.site.directory.as_uri(),
            manifest_path=tmp_path / "manifest.json",
            cache_dir=tmp_path / "cache",
        )
        (self.site.directory / self.settings.namespace).symlink_to(NAMESPACE)
        self.ledger = Ledger(redis_url, self.settings.prefix)

    def run(self, *argv: object) -> tuple[int, Any, str]:
        code = purge.main([str(one) for one in argv], self.settings)
        out, err = self.capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()] if "--json" in argv else out, err


@pytest.fixture
def command(redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    made = Command(redis_url, tmp_path, capsys)
    made.ledger.remember_storage(str(made.site.store().id))
    return made


class TestCommand:
    def test_from_a_plan_to_the_end(self, command: Command, tmp_path: Path) -> None:
        before = fill(command.site)
        plan = tmp_path / "plan"

        code, [line], _ = command.run("plan", "cache", "--unused-for", "1d", "--out", plan, "--json")
        assert code == 0
        assert line == {
            "type": "plan",
            "id": line["id"],
            "file": str(plan),
            "count": 7,
            "bytes": line["bytes"],
            "reasons": {
                "unused": {"count": 3, "bytes": line["reasons"]["unused"]["bytes"]},
                "use of what is gone": {"count": 1, "bytes": 0},
                "unreferenced": {"count": 2, "bytes": 16},
                "half written": {"count": 1, "bytes": 4},
            },
            "oldest": line["oldest"],
            "share": 0.6,
            "needsConfirm": True,
        }
        assert datetime.datetime.fromisoformat(line["oldest"]) < datetime.datetime.now(datetime.UTC)
        assert line["bytes"] == sum(one["bytes"] for one in line["reasons"].values())
        assert command.site.files() == before

        code, [], err = command.run("apply", plan, "--json")
        assert (code, "--confirm 7" in err) == (4, True)

        code, [done], _ = command.run("apply", plan, "--confirm", 7, "--json")
        assert (code, done["count"], done["left"], done["id"]) == (0, 7, 0, line["id"])
        code, [trash, total], _ = command.run("list", "--json")
        assert (trash["id"], trash["count"], total["type"], total["count"]) == (line["id"], 7, "list", 1)
        code, [kept], _ = command.run("empty", "--json")
        assert (kept["count"], kept["plans"]) == (0, [])

        code, [back], _ = command.run("restore", line["id"], "--json")
        assert (code, back["count"]) == (0, 7)
        assert command.site.files() == before

        assert command.run("plan", "--unused-for", "1", "--out", plan)[0] == 0
        assert command.run("apply", plan, "--confirm", 7)[0] == 0
        code, [gone], _ = command.run("empty", "--older-than", "0s", "--json")
        assert (code, gone["count"]) == (0, 7)
        check_live(command.site)

    def test_people_read_sentences(self, command: Command, tmp_path: Path) -> None:
        fill(command.site)
        plan = tmp_path / "plan"

        _, text, _ = command.run("plan", "--unused-for", "24h", "--out", plan)

        lines = text.splitlines()
        assert lines[0].startswith("7 files can go, ")
        assert lines[0].endswith("60% of what is there")
        assert lines[-2:] == ["nothing was removed yet", f"next: python -m cu purge apply {plan} --confirm 7"]
        _, text, _ = command.run("apply", plan, "--confirm", 7)
        assert text.startswith("7 files moved to the trash, ")
        assert "\nback: python -m cu purge restore 2" in text
        _, text, _ = command.run("list")
        assert text.splitlines()[-1].startswith("1 plans, ")

    def test_nothing_to_do_is_said(self, command: Command) -> None:
        code, [line], _ = command.run("plan", "cache", "--json")

        assert (code, line["count"], line["oldest"], line["needsConfirm"]) == (0, 0, None, False)
        code, [line], _ = command.run("plan", "uploads", "--json")
        assert (code, line["count"]) == (0, 0)

    def test_uploads_are_a_scope_of_their_own(self, command: Command) -> None:
        store = command.site.store()
        store.record_upload(store.put_bytes(b"upload"), 6, "")
        age(command.site, 31)

        assert command.run("plan", "cache", "--json")[1][0]["count"] == 0
        _, [line], _ = command.run("plan", "uploads", "--json")
        assert line["reasons"]["unused"]["count"] == line["reasons"]["unreferenced"]["count"] == 1
        assert command.run("plan", "uploads", "--unused-for", "32d", "--json")[1][0]["count"] == 0

    def test_old_code_is_what_the_manifest_has_otherwise(self, command: Command, tmp_path: Path) -> None:
        plan = tmp_path / "plan"
        for number in range(10):
            keep(command.site.store(), number, version="v0" if number == 0 else "v1")
        age(command.site)
        assert command.run("plan", "--old-code")[0] == 4

        write_manifest(command.settings.manifest_path, "v1")
        _, [line], _ = command.run("plan", "--old-code", "--out", plan, "--json")
        assert line["reasons"] == {"old code": {"count": 1, "bytes": line["bytes"]}}

        # A rollback between the plan and its use: what was old is present.
        write_manifest(command.settings.manifest_path, "v0")
        _, [done], _ = command.run("apply", plan, "--json")
        assert (done["count"], done["left"]) == (0, 1)

    def test_what_queued_jobs_name_stays(self, command: Command) -> None:
        store = command.site.store()
        file, packed_file = store.put_bytes(b"a file"), store.put_bytes(b"a file in a blob")
        blob = store.put_bytes(codec.pack({"x": [codec.File(packed_file, 1)]}))
        part = keep(store, 1, b"a part", expires=1)
        gone = store.put_bytes(b"nobody's")
        arguments = [{"a": (codec.File(file, 1), codec.Ref(part))}, {"$blob": blob}]
        jobs = [
            command.ledger.submit(NewJob("tasks.x", "v1", digest(number), codec.pack(one)))
            for number, one in enumerate(arguments)
        ]
        age(command.site)

        _, [line], _ = command.run("plan", "--json")
        assert (line["count"], line["bytes"]) == (1, len(b"nobody's")), gone

        for job in jobs:
            command.ledger.cancel(job.id)
        # A cancelled job cannot be retried, but its record is there for a day.
        command.ledger.redis.delete(f"{command.settings.prefix}in:cancelled")
        assert command.run("plan", "--json")[1][0]["count"] == 6

    def test_a_job_that_cannot_be_understood_stops_everything(self, command: Command) -> None:
        fill(command.site)
        command.ledger.submit(NewJob("tasks.x", "v1", digest(1), b"\xc1"))

        code, _, err = command.run("plan")

        assert (code, "purge with the newest image" in err) == (4, True)

    @pytest.mark.parametrize(
        "argv",
        [
            [], ["nonsense"], ["plan", "everything"], ["plan", "--unused-for", "soon"], ["plan", "--max-size", "much"],
            ["plan", "uploads", "--old-code"], ["plan", "uploads", "--max-size", "1g"], ["apply"], ["restore"],
            ["empty", "--older-than", "-1"], ["apply", "x", "--confirm", "yes"],
        ],
    )  # fmt: skip
    def test_wrong_usage_is_2(self, command: Command, argv: list[str]) -> None:
        assert command.run(*argv)[0] == 2

    def test_help_is_0(self, command: Command) -> None:
        assert command.run("plan", "--help")[0] == 0

    def test_what_cannot_work_is_4_with_a_reason(self, command: Command, tmp_path: Path) -> None:
        fill(command.site)
        (tmp_path / "no plan").write_text("no")
        assert command.run("apply", tmp_path / "no plan")[::2] == (4, command_error(tmp_path / "no plan"))
        assert command.run("apply", tmp_path / "nowhere")[0] == 4
        assert "see `purge list`" in command.run("restore", "../x")[2]

        command.site.remove(MARKER)
        code, _, err = command.run("plan")
        assert (code, "is not mounted" in err) == (4, True)

        command.settings = dataclasses.replace(command.settings, env="other")
        code, _, err = command.run("plan")
        assert (code, "start one first" in err) == (4, True)
        assert not (command.site.directory / command.settings.namespace).exists()

        command.settings = dataclasses.replace(command.settings, storage_url=None)
        assert "storage: none" in command.run("plan")[2]
        command.settings = dataclasses.replace(
            command.settings, storage_url="file:///x", broker_url="redis://127.0.0.1:1/0"
        )
        assert command.run("plan")[0] == 4


def command_error(path: Path) -> str:
    return f"cu purge: {path} is not a plan of `purge plan --out`: Expecting value: line 1 column 1 (char 0); make a new one\n"


def write_manifest(path: Path, version: str) -> None:
    from cu.manifest import make_manifest

    made = make_manifest({}, "x", "")
    function = {
        "name": "tasks.mosaic", "doc": "", "summary": "", "kind": "task", "public": False, "scope": "", "serve": "auto",
        "queue": "celery", "priority": 0, "timeout": None, "retries": 0, "resources": {}, "limits": {}, "version": version,
        "cache": True, "keep": None, "ignore_args": [], "parameters": [], "returns": {}, "accepts_extra": False,
    }  # fmt: skip
    path.write_text(json.dumps({**made, "functions": {"tasks.mosaic": function}}))
