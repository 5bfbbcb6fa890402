"""Purging that eats nothing: plan what could go and why, move it to the trash, bring it back, empty that.

Rules look at the index, never at paths. What a plan names is verified again when it is applied, and once more
when it lies in the trash, so that what is used or written at the same time comes back (store.py says why none
is missed). Only files that the store itself could have written are ever seen; links and strangers stay.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import json
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .config import ConfigError, Settings, parse_bytes
from .store import CHUNK_BYTES, Entry, Item, Kind, NewerFormat, StorageError, Store, parse_entry, place

if TYPE_CHECKING:
    from .ledger import Ledger

GRACE_SECONDS = 2 * 3600
"""A use is written down up to an hour late, and work that began with it goes on for a while."""
DAY_SECONDS = 86_400
SHARE = 0.2
HEAD = "plan.json"
KINDS = ("index", "uploads", "used/index", "used/blobs", "blobs", "tmp")
"""In the order in which they go: what refers to something before that. They come back the other way."""
Id = tuple[str, str]
Scope = Literal["cache", "uploads"]


class Refused(Exception):
    """A plan that must not be applied, or cannot be; the message says why, and what to do."""


class Live(NamedTuple):
    """What jobs that have not ended yet will read: keys of results, and blobs."""

    keys: frozenset[str] = frozenset()
    blobs: frozenset[str] = frozenset()


NOTHING = Live()


@dataclass(frozen=True)
class Rules:
    """What may go. `versions` is the present code version of each function; None leaves a rule out."""

    scope: Scope = "cache"
    unused_seconds: float | None = None
    most_bytes: int | None = None
    versions: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Victim:
    """A file that may go; `fingerprint` tells whether it is the same one later, `used` is unix seconds."""

    kind: str
    id: str
    bytes: int
    reason: str = field(compare=False)
    fingerprint: str
    used: float


@dataclass(frozen=True)
class Plan:
    id: str
    marker: str
    created: float
    rules: Rules
    victims: Sequence[Victim]
    share: float
    """The part of all results (or uploads), or of all bytes, that would go; the greater of both."""

    @property
    def bytes(self) -> int:
        return sum(victim.bytes for victim in self.victims)


@dataclass(frozen=True)
class View:
    """Everything that lies in the storage at one moment. An entry is None when it is damaged."""

    now: float
    live: Live
    items: Mapping[Id, Item]
    entries: Mapping[str, Entry | None]
    fingerprints: Mapping[Id, str]

    def recorded(self, kind: str, id_: str) -> float:
        item = self.items.get((f"used/{'index' if kind == 'index' else 'blobs'}", id_))
        return 0.0 if item is None else item.modified

    def used(self, kind: str, id_: str) -> float:
        return max(self.items[kind, id_].modified, self.recorded(kind, id_))

    def victim(self, kind: str, id_: str, reason: str) -> Victim:
        item = self.items[kind, id_]
        return Victim(kind, id_, item.size, reason, self.fingerprints[kind, id_], self.used(kind, id_))

    def of(self, kind: str) -> Iterator[str]:
        return (id_ for one, id_ in self.items if one == kind)

    def results(self) -> Iterator[tuple[str, Entry]]:
        """Whole entries that no unfinished job waits for."""
        return ((key, one) for key, one in self.entries.items() if one is not None and key not in self.live.keys)

    def needed(self, doomed: Mapping[Id, Victim]) -> Counter[str]:
        """How often each blob is referred to by what stays."""
        stays = (one for key, one in self.entries.items() if one is not None and ("index", key) not in doomed)
        found = Counter(sha256 for one in stays for sha256 in one.refers_to)
        found.update(sha256 for sha256 in self.of("uploads") if ("uploads", sha256) not in doomed)
        found.update(self.live.blobs)
        return found


Rule = Callable[[View, Rules, Mapping[Id, Victim]], Iterator[Victim]]


def expired(view: View, rules: Rules, doomed: Mapping[Id, Victim]) -> Iterator[Victim]:
    for key, entry in view.results():
        is_over = entry.expires is not None and entry.expires <= view.now
        if is_over and view.recorded("index", key) + GRACE_SECONDS < view.now:
            yield view.victim("index", key, "expired")


def damaged(view: View, rules: Rules, doomed: Mapping[Id, Victim]) -> Iterator[Victim]:
    for key, entry in view.entries.items():
        if entry is None and view.used("index", key) + GRACE_SECONDS < view.now:
            yield view.victim("index", key, "damaged")


def old_code(view: View, rules: Rules, doomed: Mapping[Id, Victim]) -> Iterator[Victim]:
    for key, entry in view.results() if rules.versions is not None else ():
        # A function that nobody knows may belong to another image of the project.
        present = (rules.versions or {}).get(entry.name, entry.version)
        if present != entry.version and view.used("index", key) + GRACE_SECONDS < view.now:
            yield view.victim("index", key, "old code")


def unused(view: View, rules: Rules, doomed: Mapping[Id, Victim]) -> Iterator[Victim]:
    kind = "index" if rules.scope == "cache" else "uploads"
    ids = [key for key, _ in view.results()] if kind == "index" else set(view.of(kind)) - view.live.blobs
    for id_ in ids if rules.unused_seconds is not None else ():
        if view.used(kind, id_) + max(rules.unused_seconds or 0, GRACE_SECONDS) < view.now:
            yield view.victim(kind, id_, "unused")


def too_much(view: View, rules: Rules, doomed: Mapping[Id, Victim]) -> Iterator[Victim]:
    """The least recently used results, until the others and their blobs take no more than `most_bytes`."""
    if rules.most_bytes is None:
        return
    needed = view.needed(doomed)
    pinned = {*view.of("uploads"), *view.live.blobs}
    sizes = {sha256: view.items["blobs", sha256].size for sha256 in view.of("blobs")}
    total = sum(sizes.get(sha256, 0) for sha256 in needed if sha256 not in pinned)
    total += sum(view.items["index", key].size for key in view.entries if ("index", key) not in doomed)
    left = [(view.used("index", key), key, one) for key, one in view.results() if ("index", key) not in doomed]
    for last, key, entry in sorted(left, key=lambda one: one[:2]):
        if total <= rules.most_bytes or last + GRACE_SECONDS >= view.now:
            return
        yield view.victim("index", key, "over size")
        total -= view.items["index", key].size
        for sha256 in entry.refers_to:
            needed[sha256] -= 1
            if needed[sha256] == 0:
                total -= sizes.get(sha256, 0)


def unreferenced(view: View, rules: Rules, doomed: Mapping[Id, Victim]) -> Iterator[Victim]:
    needed = view.needed(doomed)
    for sha256 in view.of("blobs"):
        is_ours = rules.scope == "cache" or ("uploads", sha256) in doomed
        if is_ours and needed[sha256] == 0 and view.used("blobs", sha256) + GRACE_SECONDS < view.now:
            yield view.victim("blobs", sha256, "unreferenced")


def half_written(view: View, rules: Rules, doomed: Mapping[Id, Victim]) -> Iterator[Victim]:
    for id_ in view.of("tmp"):
        if view.items["tmp", id_].modified + DAY_SECONDS < view.now:
            yield view.victim("tmp", id_, "half written")


def use_of_nothing(view: View, rules: Rules, doomed: Mapping[Id, Victim]) -> Iterator[Victim]:
    there = {id_ for _, id_ in view.items if _ in ("index", "blobs", "uploads")}
    for kind in ("used/index", "used/blobs"):
        for id_ in view.of(kind):
            if id_ not in there and view.items[kind, id_].modified + DAY_SECONDS < view.now:
                yield view.victim(kind, id_, "use of what is gone")


RULES: Mapping[Scope, Sequence[Rule]] = {
    "cache": (expired, damaged, old_code, unused, too_much, unreferenced, half_written, use_of_nothing),
    "uploads": (unused, unreferenced),
}


def path_of(kind: str, id_: str) -> str:
    """Where a file lies; ValueError for anything that the store would not write."""
    if kind == "tmp" and re.fullmatch("[0-9a-f]{32}", id_):
        return f"tmp/{id_}"
    if kind not in KINDS or kind == "tmp":
        raise ValueError(f"{kind!r:.20} {id_!r:.80} is no file of a storage")
    return place(kind, id_)


def id_of(name: str) -> Id | None:
    """The reverse of `path_of`; None for strangers."""
    kind = "tmp" if name.startswith("tmp/") else "/".join(name.split("/")[:-2])
    id_ = name.rpartition("/")[2]
    with contextlib.suppress(ValueError):
        return (kind, id_) if path_of(kind, id_) == name else None
    return None


def look(store: Store, live: Live, now: float) -> View:
    items: dict[Id, Item] = {}
    entries: dict[str, Entry | None] = {}
    fingerprints: dict[Id, str] = {}
    with store.explained("write"):
        for folder in ("used", "tmp", "blobs", "uploads", "index"):
            for item in store.disk.walk(folder):
                one = id_of(item.name)
                if one is None:
                    continue
                try:
                    data = store.disk.read(item.name) if folder in ("uploads", "index") else None
                except FileNotFoundError as error:
                    # Another purge was here. Any other error ends this one: it could not know what is in use.
                    if store.disk.stat(item.name) is None:
                        continue
                    raise StorageError("the storage comes and goes; mend that before you purge") from error
                items[one], fingerprints[one] = item, fingerprint(item, data)
                if folder == "index" and data is not None:
                    entries[one[1]] = whole_entry(one[1], data)
    store.check()
    return View(now, live, items, entries, fingerprints)


def fingerprint(item: Item, data: bytes | None) -> str:
    return f"{item.size}-{item.modified!r}" if data is None else hashlib.sha256(data).hexdigest()[:32]


def whole_entry(key: str, data: bytes) -> Entry | None:
    try:
        return replace(parse_entry(key, data), inline=None)
    except NewerFormat as error:
        raise StorageError(f"the result {key[:12]} is of a newer cu: {error}; purge with that one") from error
    except ValueError:
        return None


def find(view: View, rules: Rules) -> list[Victim]:
    doomed: dict[Id, Victim] = {}
    for rule in RULES[rules.scope]:
        for victim in list(rule(view, rules, doomed)):
            doomed.setdefault((victim.kind, victim.id), victim)
    return sorted(doomed.values(), key=lambda victim: (KINDS.index(victim.kind), victim.used, victim.id))


def share_of(view: View, rules: Rules, victims: Sequence[Victim]) -> float:
    kind = "index" if rules.scope == "cache" else "uploads"
    there = sum(1 for _ in view.of(kind))
    bytes_ = sum(item.size for item in view.items.values())
    return max(
        sum(victim.kind == kind for victim in victims) / max(there, 1),
        sum(victim.bytes for victim in victims) / max(bytes_, 1),
    )


def plan(store: Store, rules: Rules, *, live: Live = NOTHING, now: float | None = None) -> Plan:
    """What could go; changes nothing."""
    store.check()
    view = look(store, live, time.time() if now is None else now)
    victims = find(view, rules)
    id_ = f"{datetime.datetime.fromtimestamp(view.now, datetime.UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    return Plan(id_, str(store.id), view.now, rules, victims, share_of(view, rules, victims))


def write_plan(plan: Plan, out: Path) -> None:
    """JSON lines: what the plan is, then each file that would go."""
    head = {"type": "plan", "format": 1, **asdict(replace(plan, victims=())), "victims": len(plan.victims)}
    lines = [head, *({"type": "victim", **asdict(victim)} for victim in plan.victims)]
    out.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def read_plan(path: Path) -> Plan:
    """Refused for a file that is no whole plan."""
    try:
        head, *lines = [json.loads(line) for line in path.read_text().splitlines()]
        if head.pop("type") != "plan" or head.pop("format") != 1 or head.pop("victims") != len(lines):
            raise ValueError("it is no plan, or a part of one")
        victims = [
            Victim(one["kind"], one["id"], int(one["bytes"]), one["reason"], one["fingerprint"], one["used"])
            for one in lines
        ]
        for victim in victims:
            path_of(victim.kind, victim.id)
        made = Plan(**{**head, "rules": Rules(**head["rules"]), "victims": victims})
        trash_of(made.id)
    except OSError as error:
        raise Refused(f"cannot read the plan {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{path} is not a plan of `purge plan --out`: {error}; make a new one") from error
    return made


@dataclass(frozen=True)
class Done:
    """How many files went or came back, and how many were left where they were."""

    count: int
    bytes: int
    left: int
    skipped: Sequence[tuple[str, str]] = field(default=(), compare=False)
    """The id of each that was left, and why."""


def apply(
    store: Store, plan: Plan, *, confirm: int | None = None, live: Live = NOTHING, now: float | None = None
) -> Done:
    """Move what the plan names to the trash, as far as it still may go; nothing is removed yet.

    Refused when the plan is of another storage or older than a day, or takes more than a fifth of the results or
    bytes and `confirm` is not the number of its files. After a StorageError, `restore` brings back what was moved.
    """
    store.check()
    moment = time.time() if now is None else now
    check_plan(store, plan, confirm, moment)
    view = look(store, live, moment)
    share = share_of(view, plan.rules, plan.victims)
    if share > SHARE and confirm is None:
        hint = f"if that is right: --confirm {len(plan.victims)}"
        raise Refused(f"the plan would remove {share:.0%} of what is there; {hint}")
    still = set(find(view, plan.rules))
    todo = [victim for victim in plan.victims if victim in still]
    skipped = [(victim.id, "used, changed or gone since the plan") for victim in plan.victims if victim not in still]
    if todo:
        head = {"id": plan.id, "marker": plan.marker, "time": moment}
        with store.explained("write"):
            store.disk.put(f"{trash_of(plan.id)}/{HEAD}", json.dumps(head).encode())
    kept = set(live.blobs)
    moved: list[Victim] = []
    for victim in sorted(todo, key=lambda one: KINDS.index(one.kind)):
        if victim.kind == "blobs" and victim.id in kept:
            skipped.append((victim.id, "what refers to it stayed"))
            continue
        why = move_away(store, plan.id, victim)
        if why is None:
            moved.append(victim)
            continue
        skipped.append((victim.id, why))
        entry = view.entries.get(victim.id)
        kept.update([victim.id], entry.refers_to if entry else ())
    return Done(len(moved), sum(one.bytes for one in moved), len(skipped), skipped)


def check_plan(store: Store, plan: Plan, confirm: int | None, now: float) -> None:
    if plan.marker != store.id:
        raise Refused(f"the plan {plan.id} is of another storage ({plan.marker}, here is {store.id}); make a new one")
    if not -300 < now - plan.created < DAY_SECONDS:
        raise Refused(f"the plan {plan.id} is older than a day, or a clock is wrong; make a new one")
    if confirm is not None and confirm != len(plan.victims):
        raise Refused(f"the plan {plan.id} names {len(plan.victims)} files, not {confirm}; look at it again")


def move_away(store: Store, plan_id: str, victim: Victim) -> str | None:
    """To the trash, and at once back if it was used or changed meanwhile: then why it stays."""
    source = path_of(victim.kind, victim.id)
    target = f"{trash_of(plan_id)}/{source}"
    store.check()
    with store.explained("write"):
        if not is_same(store, victim, source):
            return "changed while the plan was applied"
        try:
            store.disk.move(source, target)
        except (FileNotFoundError, FileExistsError):
            return "moved or replaced while the plan was applied"
        is_unused = False
        try:
            is_copy = not store.disk.is_local and victim.kind not in ("index", "uploads")
            is_unused = not is_used(store, victim) and (is_copy or is_same(store, victim, target))
        finally:
            if not is_unused:
                put_back(store, target, source)
    return None if is_unused else "used while the plan was applied"


def is_same(store: Store, victim: Victim, name: str) -> bool:
    item = store.disk.stat(name)
    if item is None:
        return False
    try:
        data = store.disk.read(name) if victim.kind in ("index", "uploads") else None
    except FileNotFoundError:
        return False
    return fingerprint(item, data) == victim.fingerprint


def is_used(store: Store, victim: Victim) -> bool:
    kinds: Mapping[str, Kind] = {"index": "index", "uploads": "uploads", "blobs": "blobs"}
    kind = kinds.get(victim.kind)
    return kind is not None and (store.last_used(kind, victim.id) or 0) > victim.used


def put_back(store: Store, source: str, target: str) -> bool:
    """From the trash; False when something newer is in its place."""
    store.check()
    try:
        store.disk.move(source, target)
    except FileExistsError:
        if not has_same_bytes(store, source, target):
            return False
        store.disk.remove(source)
    return True


def has_same_bytes(store: Store, left: str, right: str) -> bool:
    with store.disk.open(left) as one, store.disk.open(right) as other:
        while True:
            chunk = one.read(CHUNK_BYTES)
            if chunk != other.read(CHUNK_BYTES):
                return False
            if not chunk:
                return True


def trash_of(plan_id: str) -> str:
    if not re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{8}", plan_id):
        raise ValueError(f"{plan_id!r:.40} is not the id of a plan")
    return f"trash/{plan_id}"


@dataclass(frozen=True)
class Trash:
    """What one plan moved away; `time` is None when nobody can tell when."""

    id: str
    time: float | None
    items: Sequence[tuple[Id, Item]]

    @property
    def bytes(self) -> int:
        return sum(item.size for _, item in self.items)


def trashes(store: Store) -> list[Trash]:
    """Oldest first."""
    found: dict[str, list[tuple[Id, Item]]] = {}
    with store.explained("read"):
        for item in store.disk.walk("trash"):
            _, plan_id, name = item.name.split("/", 2) if item.name.count("/") > 1 else ("", "", "")
            one = id_of(name)
            with contextlib.suppress(ValueError):
                if trash_of(plan_id) and (one or name == HEAD):
                    found.setdefault(plan_id, []).extend([(one, item)] if one else [])
        return [Trash(id_, trashed_at(store, id_), items) for id_, items in sorted(found.items())]


def trashed_at(store: Store, plan_id: str) -> float | None:
    try:
        return float(json.loads(store.disk.read(f"{trash_of(plan_id)}/{HEAD}"))["time"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def restore(store: Store, plan_id: str) -> Done:
    """Bring back what a plan moved to the trash; where there is something newer, it stays in the trash."""
    store.check()
    trash = next((one for one in trashes(store) if one.id == plan_id), None)
    if trash is None:
        raise Refused(f"there is nothing of a plan {plan_id!r:.40} in the trash; see `purge list`")
    back: list[Item] = []
    with store.explained("write"):
        # Blobs first: an entry never refers to what is not there.
        for (kind, id_), item in sorted(trash.items, key=lambda one: -KINDS.index(one[0][0])):
            if put_back(store, item.name, path_of(kind, id_)):
                back.append(item)
        if len(back) == len(trash.items):
            forget(store, plan_id)
    return Done(len(back), sum(item.size for item in back), len(trash.items) - len(back))


def forget(store: Store, plan_id: str) -> None:
    store.disk.remove(f"{trash_of(plan_id)}/{HEAD}")
    store.disk.tidy(trash_of(plan_id))


def empty(
    store: Store, quarantine_seconds: float, *, live: Live = NOTHING, now: float | None = None
) -> tuple[Done, list[str]]:
    """Remove for good what lies in the trash for longer. A blob that something refers to after all comes back.

    Returns also the ids of the plans. Of a trash whose age nobody can tell, nothing is removed.
    """
    store.check()
    moment = time.time() if now is None else now
    due = [one for one in trashes(store) if one.time is not None and one.time + quarantine_seconds < moment]
    view = look(store, live, moment) if due else View(moment, live, {}, {}, {})
    lost = set(view.needed({})) - set(view.of("blobs"))
    gone: list[Item] = []
    back = 0
    with store.explained("write"):
        for trash in due:
            for (kind, id_), item in trash.items:
                store.check()
                if kind == "blobs" and id_ in lost:
                    back += put_back(store, item.name, path_of(kind, id_))
                else:
                    store.disk.remove(item.name)
                    gone.append(item)
            forget(store, trash.id)
    return Done(len(gone), sum(item.size for item in gone), back), [trash.id for trash in due]


def in_flight(ledger: Ledger, store: Store) -> Live:
    """What jobs will read that have not ended, or may be retried. Refused when one cannot be understood."""
    from .ledger import STATES

    keys: set[str] = set()
    blobs: set[str] = set()
    redis: Any = ledger.redis
    ids = [id_.decode() for state in STATES for id_ in redis.zrange(f"{ledger.prefix}in:{state}", 0, -1)]
    for start in range(0, len(ids), 500):
        batch = ids[start : start + 500]
        with redis.pipeline(transaction=False) as pipe:
            for id_ in batch:
                pipe.hgetall(f"{ledger.prefix}job:{id_}")
            jobs = pipe.execute()
        for id_, job in zip(batch, jobs, strict=True):
            # Results that lie under another key than planned.
            keys.update(value.decode() for name, value in job.items() if name.startswith(b"as:"))
            try:
                collect(job.get(b"args"), store, keys, blobs)
                collect(job.get(b"then"), store, keys, blobs)
            except (ValueError, ImportError) as error:
                raise Refused(f"cannot tell what the job {id_} needs: {error}; purge with the newest image") from error
    return Live(frozenset(keys), frozenset(blobs))


def collect(packed: bytes | None, store: Store, keys: set[str], blobs: set[str]) -> None:
    """Every file and every reference in packed values; large ones lie in a blob of their own."""
    from . import codec

    pending: list[Any] = [] if packed is None else [codec.unpack(packed)]
    while pending:
        value = pending.pop()
        if isinstance(value, codec.File):
            blobs.add(value.sha256)
        elif isinstance(value, codec.Ref):
            keys.add(value.key)
        elif isinstance(value, dict):
            if set(value) == {"$blob"}:
                blobs.add(value["$blob"])
                with contextlib.suppress(FileNotFoundError):
                    pending.append(codec.unpack(store.read(value["$blob"])))
            pending.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            pending.extend(value)


Output = tuple[dict[str, object], str]
"""A result for programs, and the same for people."""


def main(argv: Sequence[str], settings: Settings) -> int:
    """`python -m cu purge ...`; returns 0, 2 for wrong usage, 4 when it was refused or failed."""
    import redis

    from .ledger import Ledger

    try:
        options = parse(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        if settings.storage_url is None:
            raise Refused("this project has `storage: none`: results lie in Redis and expire there")
        ledger = Ledger(settings.broker_url, settings.prefix)
        known = ledger.storage_id()
        if known is None:
            raise Refused("no worker or webserver used the storage yet, so nothing proves it; start one first")
        store = Store(
            settings.storage_url, settings.namespace, cache_dir=settings.cache_dir, cache_bytes=settings.cache_bytes
        )
        store.attach(known)
        for line, text in options.run(options, settings, store, ledger):
            print(json.dumps(line) if options.json else text)
    except (Refused, StorageError, ConfigError, redis.RedisError) as error:
        print(f"cu purge: {error}", file=sys.stderr)
        return 4
    return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cu purge", description="Make room, and lose nothing.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[..., Iterator[Output]], text: str) -> Callable[..., argparse.Action]:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("--json", action="store_true", help="one JSON object a line")
        made.set_defaults(run=run)
        return made.add_argument

    add = command("plan", run_plan, "write down what could go; removes nothing")
    add("scope", choices=("cache", "uploads"), nargs="?", default="cache")
    add("--out", type=Path, metavar="FILE", help="where the plan goes, for `apply`")
    add("--unused-for", "--keep-days", type=seconds, metavar="AGE", help="30d, 12h; of uploads 30d unless given")
    add("--max-size", type=size, metavar="SIZE", help="the least recently used results beyond 10g, 500m")
    add("--old-code", action="store_true", help="results of code that the manifest no longer has")
    add = command("apply", run_apply, "move what a plan names to the trash")
    add("plan", type=Path)
    add("--confirm", type=int, metavar="N", help="the number of files, if they are much of what is there")
    add = command("restore", run_restore, "bring back what a plan moved to the trash")
    add("plan_id")
    add = command("empty", run_empty, "remove for good what lies in the trash for long")
    add("--older-than", type=seconds, metavar="AGE", default=7.0 * DAY_SECONDS, help="7d unless given")
    command("list", run_list, "what lies in the trash")
    options = parser.parse_args(argv)
    if getattr(options, "scope", "") == "uploads" and (options.old_code or options.max_size is not None):
        parser.error("--old-code and --max-size are for `plan cache`; uploads go by --unused-for alone")
    return options


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age like 30d, 12h or 90m")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "w": 7 * DAY_SECONDS}.get(match[2], DAY_SECONDS)


def size(text: str) -> int:
    try:
        return parse_bytes(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run_plan(options: argparse.Namespace, settings: Settings, store: Store, ledger: Ledger) -> Iterator[Output]:
    default = 30.0 * DAY_SECONDS if options.scope == "uploads" else None
    unused_seconds = default if options.unused_for is None else options.unused_for
    versions = versions_of(settings) if options.old_code else None
    rules = Rules(options.scope, unused_seconds, options.max_size, versions)
    made = plan(store, rules, live=in_flight(ledger, store))
    if options.out is not None:
        write_plan(made, options.out)
    reasons: dict[str, dict[str, int]] = {}
    for victim in made.victims:
        one = reasons.setdefault(victim.reason, {"count": 0, "bytes": 0})
        one["count"] += 1
        one["bytes"] += victim.bytes
    oldest = iso(min((victim.used for victim in made.victims), default=None))
    line: dict[str, object] = {
        "type": "plan",
        "id": made.id,
        "file": None if options.out is None else str(options.out),
        "count": len(made.victims),
        "bytes": made.bytes,
        "reasons": reasons,
        "oldest": oldest,
        "share": round(made.share, 4),
        "needsConfirm": made.share > SHARE,
    }
    text = [f"{len(made.victims):,} files can go, {shown(made.bytes)}, {made.share:.0%} of what is there"]
    text += [f"  {reason:20} {one['count']:>8,}  {shown(one['bytes']):>10}" for reason, one in reasons.items()]
    text += [f"the oldest was last used {oldest}"] if oldest else []
    text.append("nothing was removed yet")
    if options.out is not None and made.victims:
        confirm = f" --confirm {len(made.victims)}" if made.share > SHARE else ""
        text.append(f"next: python -m cu purge apply {options.out}{confirm}")
    yield line, "\n".join(text)


def run_apply(options: argparse.Namespace, settings: Settings, store: Store, ledger: Ledger) -> Iterator[Output]:
    made = read_plan(options.plan)
    if made.rules.versions is not None:
        # Code that was rolled back since is present again.
        made = replace(made, rules=replace(made.rules, versions=versions_of(settings)))
    done = apply(store, made, confirm=options.confirm, live=in_flight(ledger, store))
    text = f"{done.count:,} files moved to the trash, {shown(done.bytes)}; {done.left:,} stay, used or changed since"
    line = counted("apply", done, id=made.id, skipped=[{"id": id_, "why": why} for id_, why in done.skipped])
    yield line, f"{text}\nback: python -m cu purge restore {made.id}"


def run_restore(options: argparse.Namespace, settings: Settings, store: Store, _: Ledger) -> Iterator[Output]:
    done = restore(store, options.plan_id)
    text = f"{done.count:,} files are back, {shown(done.bytes)}; {done.left:,} have newer ones in their place"
    yield counted("restore", done, id=options.plan_id), text


def run_empty(options: argparse.Namespace, settings: Settings, store: Store, ledger: Ledger) -> Iterator[Output]:
    done, ids = empty(store, options.older_than, live=in_flight(ledger, store))
    text = f"{done.count:,} files of {len(ids)} plans removed for good, {shown(done.bytes)}"
    yield counted("empty", done, plans=ids), text


def run_list(options: argparse.Namespace, settings: Settings, store: Store, _: Ledger) -> Iterator[Output]:
    found = trashes(store)
    for one in found:
        line = {"type": "trash", "id": one.id, "count": len(one.items), "bytes": one.bytes, "time": iso(one.time)}
        yield line, f"{one.id}  {iso(one.time) or 'unknown':20}  {len(one.items):>8,}  {shown(one.bytes):>10}"
    total = sum(one.bytes for one in found)
    yield {"type": "list", "count": len(found), "bytes": total}, f"{len(found)} plans, {shown(total)}"


def counted(type_: str, done: Done, **fields: object) -> dict[str, object]:
    return {"type": type_, **fields, "count": done.count, "bytes": done.bytes, "left": done.left}


def versions_of(settings: Settings) -> dict[str, str]:
    from .manifest import load_manifest

    return {name: one.version for name, one in load_manifest(settings.manifest_path).functions.items()}


def iso(moment: float | None) -> str | None:
    return None if moment is None else f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def shown(bytes_: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if bytes_ < 1024:
            return f"{bytes_:.0f} {unit}"
        bytes_ /= 1024
    return f"{bytes_:.1f} TiB"
