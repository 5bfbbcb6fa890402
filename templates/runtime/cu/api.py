"""What users write: `@task` and `@call`, and what a call of them does, here or on a worker."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import hashlib
import importlib
import inspect
import os
import sys
import time
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded

from . import codec, keys
from .codec import Ref
from .config import ConfigError, Settings, load_settings
from .ledger import ENDED, Claim, Job, Ledger, NewJob, Part, new_id
from .manifest import ArgumentErrors, convert
from .store import Entry, Store

INLINE_BYTES = 8192
"""Results up to this size lie in their index entry, arguments in their record; bigger ones are blobs."""
UNCACHED_SECONDS = 86_400
BATCH = 200


class CallError(Exception):
    """A call ended without a result; `job` is what is known of it."""

    def __init__(self, message: str, job: Job | None = None) -> None:
        super().__init__(message)
        self.job = job


class TaskRaised(Exception):
    """What the user's function raised, told apart from what went wrong around it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class MissingPart(Exception):
    """The result of a part was purged between its end and its use."""


@dataclass(frozen=True)
class Options:
    """What the decorators take; see `task` and `call`."""

    queue: str = "celery"
    retries: int = 0
    retry_for: tuple[type[BaseException], ...] = (Exception,)
    timeout: float | None = None
    version: str | None = None
    keep: float | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    ignore_args: tuple[str, ...] = ()
    cache: bool = True
    priority: int = 0
    is_call: bool = False
    public: bool = False
    scope: str = ""
    serve: str = "auto"


REGISTRY: dict[str, Task] = {}
"""Every decorated function by its name, in the order of decoration."""


class Task:
    """A decorated function. Called, it runs here through the cache; in the body of a `@call` it is planned."""

    def __init__(self, function: Callable[..., Any], options: Options, name: str | None = None) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        self.name = name or name_of(function)
        try:
            self.signature = inspect.signature(function)
        except ValueError as error:
            raise TypeError(f"{self.name} has no signature that Python knows; wrap it in a def") from error
        for parameter in self.signature.parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                raise TypeError(f"{self.name} takes *{parameter.name}: name its arguments, or take a list")
        unknown = set(options.ignore_args) - set(self.signature.parameters)
        if unknown:
            raise TypeError(f"ignore_args of {self.name} names {sorted(unknown)}, which it does not take")
        known = REGISTRY.get(self.name)
        if known is not None and known.function.__code__ is not getattr(function, "__code__", None):
            raise TypeError(f"two functions are called {self.name}: give one of them name=")
        REGISTRY[self.name] = self

    @functools.cached_property
    def version(self) -> str:
        """The given version, else a digest of the code; another version is another key."""
        if self.options.version is not None:
            return self.options.version
        # The parts of a call have keys of their own, so only their names belong to the call's code.
        return keys.code_version(self.function, stop=is_task if self.options.is_call else None)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Every argument by its name, defaults filled in."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        for parameter in self.signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments.update(arguments.pop(parameter.name))
        return arguments

    def key_of(self, arguments: Mapping[str, Any]) -> str:
        counted = {name: value for name, value in arguments.items() if name not in self.options.ignore_args}
        return keys.call_key(self.name, self.version, counted)

    def job(self, arguments: Mapping[str, Any], packed: bytes, is_top: bool = True) -> NewJob:
        options = self.options
        key = self.key_of(arguments)
        return NewJob(
            name=self.name,
            version=self.version,
            key=key if options.cache else uncached_key(key),
            arguments=packed,
            queue=options.queue,
            priority=options.priority,
            timeout=options.timeout,
            retries=options.retries,
            resources=options.resources,
            limits=options.limits,
            is_call=options.is_call,
            is_top=is_top,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        arguments = self.bind(args, kwargs)
        plan = PLAN.get()
        return runtime().call_here(self, arguments) if plan is None else plan.add(self, arguments)

    def key(self, *args: Any, **kwargs: Any) -> str:
        """The cache key of a call; equal keys share one result."""
        return self.key_of(self.bind(args, kwargs))

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Compute here, whatever the cache holds, and replace what it holds."""
        return runtime().call_here(self, self.bind(args, kwargs), force=True)

    def submit(self, *args: Any, **kwargs: Any) -> Pending:
        """Hand the call to the workers; once this returns it cannot get lost."""
        return runtime().submit(self, self.bind(args, kwargs))

    def __repr__(self) -> str:
        return f"<cu {'call' if self.options.is_call else 'task'} {self.name}>"


def name_of(function: Callable[..., Any]) -> str:
    """MODULE.FUNCTION; what has no such name of its own has to be given one."""
    name = getattr(function, "__qualname__", "").replace(".<locals>", "")
    if not name or "<" in name:
        raise TypeError(f"{function!r} has no name that others could call it by: give it one with name=")
    return f"{function.__module__}.{name}"


def is_task(value: object) -> bool:
    return isinstance(value, Task)


def uncached_key(key: str) -> str:
    """A key that no other call will ever have."""
    return hashlib.sha256(f"{key} {new_id()}".encode()).hexdigest()


def task(
    function: Callable[..., Any] | None = None,
    *,
    queue: str = "celery",
    retries: int = 0,
    retry_for: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    timeout: float | None = None,
    version: str | None = None,
    keep: float | None = None,
    resources: Mapping[str, float] | None = None,
    limits: Mapping[str, int] | None = None,
    ignore_args: Sequence[str] = (),
    cache: bool = True,
    priority: int = 0,
    name: str | None = None,
) -> Any:
    """Make a function a unit of work that workers run, and whose results are cached.

    queue: which workers run it, those whose `queues` name it.
    retries: how many more times it is tried after an exception in `retry_for`, after 1, 2, 4... seconds.
    retry_for: exceptions that are worth another try.
    timeout: seconds after which it is interrupted with TimeoutError, and killed 10 s later.
    version: names the code by hand; without it a change of the code changes the key.
    keep: seconds for which a result counts; without it for ever, until it is purged.
    resources: what it takes of its node's `offers`, such as {"gpu": 1}; it waits until there is room.
    limits: how many may run at once in the whole fleet, by a name that tasks can share: {"license": 2}.
    ignore_args: arguments that do not change the result, and so not the key.
    cache: False: computed at every call; the result is kept for a day for whoever asked.
    priority: 0 to 9, higher ones go first.
    name: instead of MODULE.FUNCTION.
    """
    options = Options(
        queue=queue,
        retries=retries,
        retry_for=retry_for if isinstance(retry_for, tuple) else (retry_for,),
        timeout=timeout,
        version=version,
        keep=keep,
        resources=dict(resources or {}),
        limits=dict(limits or {}),
        ignore_args=tuple(ignore_args),
        cache=cache,
        priority=priority,
    )
    return decorate(function, options, name)


def call(
    function: Callable[..., Any] | None = None,
    *,
    public: bool = False,
    scope: str = "",
    serve: typing.Literal["auto", "value", "file", "reference"] = "auto",
    queue: str = "celery",
    retries: int = 0,
    timeout: float | None = None,
    version: str | None = None,
    keep: float | None = None,
    ignore_args: Sequence[str] = (),
    cache: bool = True,
    priority: int = 0,
    name: str | None = None,
) -> Any:
    """Make a function that composes tasks by calling them; what it calls runs distributed, each part cached.

    In its body a task returns a placeholder, which can be passed on to other tasks and returned, not looked into.
    A function that calls no task may be published just as well: it runs on a worker as it is.

    public: callable over HTTP, as POST /v1/call/NAME.
    scope: what a token has to be allowed; none: any token will do.
    serve: what HTTP answers with: the value as JSON, its bytes as a file, a reference to fetch, or as fits.
    The rest is as for `task`.
    """
    options = Options(
        queue=queue,
        retries=retries,
        timeout=timeout,
        version=version,
        keep=keep,
        ignore_args=tuple(ignore_args),
        cache=cache,
        priority=priority,
        is_call=True,
        public=public,
        scope=scope,
        serve=serve,
    )
    return decorate(function, options, name)


def decorate(function: Callable[..., Any] | None, options: Options, name: str | None) -> Any:
    for what, value in (("queue", options.queue), ("name", name or "x")):
        if not value or any(letter.isspace() or letter in "/+,?#" for letter in value):
            raise TypeError(f"{what}={value!r} has a letter that names may not have: no spaces, / + , ? #")
    if not 0 <= options.priority <= 9:
        raise TypeError(f"priority={options.priority} is not between 0 and 9")
    if options.serve not in ("auto", "value", "file", "reference"):
        raise TypeError(f"serve={options.serve!r} is none of auto, value, file, reference")
    return Task(function, options, name) if function is not None else lambda f: Task(f, options, name)


class Node:
    """A result that is not there yet."""

    __slots__ = ("key", "task")

    def __init__(self, key: str, task_: Task) -> None:
        self.key = key
        self.task = task_

    def _refuse(self, *_: Any) -> typing.NoReturn:
        raise TypeError(
            f"the result of {self.task.name} is not computed yet: in the body of a @call it can be passed to "
            "tasks and returned, not looked into; do that in a task (or in a @call that takes it as an argument)"
        )

    __bool__ = __iter__ = __len__ = __getitem__ = __contains__ = __float__ = __int__ = __index__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __call__ = __enter__ = __matmul__ = __neg__ = _refuse

    def __getattr__(self, name: str) -> Any:
        # Protocol probes of copy, numpy and the like want an AttributeError.
        if name.startswith("__"):
            raise AttributeError(name)
        return self._refuse()


@dataclass
class Planned:
    task: Task
    arguments: dict[str, Any]
    parts: list[str]


class Plan:
    """The tree that the body of a `@call` builds, parts before what takes them."""

    def __init__(self) -> None:
        self.nodes: dict[str, Planned] = {}

    def add(self, task_: Task, arguments: Mapping[str, Any]) -> Node:
        referred: list[str] = []
        plain = {name: as_refs(value, referred) for name, value in arguments.items()}
        key = task_.key_of(plain)
        self.nodes.setdefault(key, Planned(task_, plain, referred))
        return Node(key, task_)


PLAN: contextvars.ContextVar[Plan | None] = contextvars.ContextVar("cu_plan", default=None)


def as_refs(value: Any, found: list[str]) -> Any:
    """`value` with a `Ref` in place of each placeholder; their keys are added to `found`."""
    if isinstance(value, Node):
        found.append(value.key)
        return Ref(value.key)
    return rebuild(value, lambda item: as_refs(item, found))


def rebuild(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same plain list, tuple or dict with `change` applied to what it holds; anything else as it is."""
    if type(value) is list or type(value) is tuple:
        items = [change(item) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return type(value)(items)
    if type(value) is dict:
        changed = {name: change(item) for name, item in value.items()}
        return value if all(changed[name] is value[name] for name in value) else changed
    return value


class Context:
    """What a running task can say and ask; outside of a worker it does nothing."""

    job: str = ""
    attempt: int = 1

    def progress(self, fraction: float | None = None, message: str = "") -> None:
        """Report how much is done, 0 to 1, and what is going on. At most five times a second goes out."""

    def log(self, text: str) -> None:
        """A line for whoever follows the job; it goes to the log of the worker too."""

    def cancelled(self) -> bool:
        """Whether nobody wants the result any more; a long loop should look now and then."""
        return False


OUTSIDE = Context()
CONTEXT: contextvars.ContextVar[Context] = contextvars.ContextVar("cu_context", default=OUTSIDE)


class ContextProxy:
    """`ctx`: the context of the task that runs here."""

    def __getattr__(self, name: str) -> Any:
        return getattr(CONTEXT.get(), name)


@dataclass(frozen=True)
class Pending:
    """A call that was handed to the workers; `id` is None when its result was there already."""

    key: str
    id: str | None
    joined: bool = False

    def job(self) -> Job | None:
        return None if self.id is None else runtime().ledger.get(self.id)

    def state(self) -> str:
        job = self.job()
        return job.state if job is not None else "done"

    def cancel(self) -> bool:
        return self.id is not None and runtime().ledger.cancel(self.id)

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the value. TimeoutError after `timeout` seconds, CallError when there will be none."""
        deadline = None if timeout is None else time.monotonic() + timeout
        key, pause = self.key, 0.005
        while self.id is not None:
            job = self.job()
            if job is None:
                break
            if job.state in ENDED:
                if job.result_key is None:
                    reason = (job.error or {}).get("message", "")
                    raise CallError(f"{job.name} {job.state}: {reason}", job)
                key = job.result_key
                break
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{job.name} is still {job.state} after {timeout:g} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        return runtime().load(key)


class Runtime:
    """The storage and the ledger of this process, opened when they are first needed."""

    def __init__(self, settings: Settings, patience_seconds: float = 10) -> None:
        self.settings = settings
        self.patience_seconds = patience_seconds

    @functools.cached_property
    def ledger(self) -> Ledger:
        settings = self.settings
        return Ledger(
            settings.broker_url,
            settings.prefix,
            lease_seconds=settings.lease_seconds,
            max_lost=settings.max_lost,
            ttl_seconds=settings.job_ttl_seconds,
            patience_seconds=self.patience_seconds,
        )

    @functools.cached_property
    def store(self) -> Any:
        """The shared storage; with `storage: none` a small one in Redis."""
        settings = self.settings
        if settings.storage_url is None:
            return RedisStore(self.ledger)
        store = Store(
            settings.storage_url,
            settings.namespace,
            cache_dir=settings.cache_dir,
            cache_bytes=settings.cache_bytes,
        )
        attach_storage(store, self.ledger)
        codec.current_store.set(store)
        return store

    def job_for(self, task_: Task, arguments: Mapping[str, Any], is_top: bool = True) -> NewJob:
        self.keep_files(arguments)
        packed = codec.pack(dict(arguments))
        if len(packed) > INLINE_BYTES:
            packed = codec.pack({"$blob": self.store.put_bytes(packed)})
        return task_.job(arguments, packed, is_top)

    def submit(self, task_: Task, arguments: Mapping[str, Any]) -> Pending:
        if task_.options.cache:
            key = task_.key_of(arguments)
            if self.store.get_entry(key) is not None:
                return Pending(key, None)
        job = self.job_for(task_, arguments)
        done = self.ledger.submit(job)
        return Pending(job.key, done.id, done.joined)

    def call_here(self, task_: Task, arguments: Mapping[str, Any], force: bool = False) -> Any:
        """The value of a call, computed in this process unless it is cached."""
        if self.settings.storage_url is None:
            return self.compute_here(task_, arguments)
        key = task_.key_of(arguments)
        entry = None if force or not task_.options.cache else self.store.get_entry(key)
        if entry is not None:
            return self.value_of(entry)
        started = time.monotonic()
        value = self.compute_here(task_, arguments)
        if task_.options.cache:
            self.commit(task_, key, value, time.monotonic() - started)
        return value

    def compute_here(self, task_: Task, arguments: Mapping[str, Any]) -> Any:
        if not task_.options.is_call:
            return invoke(task_, arguments)
        plan = Plan()
        outcome = planned(plan, task_, arguments)
        values: dict[str, Any] = {}
        for key in needed(plan, outcome, lambda _: False):
            node = plan.nodes[key]
            values[key] = self.call_here(node.task, resolve(node.arguments, values.__getitem__))
        refs: list[str] = []
        return resolve(as_refs(outcome, refs), values.__getitem__)

    def commit(self, task_: Task, key: str, value: Any, seconds: float) -> Entry:
        """Put a result into the storage, its bytes first, so that an entry never lies."""
        encoded = codec.encode(value, pickle_key=self.settings.pickle_key)
        self.keep_files(value)
        data, file = encoded.data, encoded.file
        if data is None and file is None:
            raise AssertionError("an encoded value is bytes or a file")
        is_inline = data is not None and len(data) <= INLINE_BYTES
        blob = file.sha256 if file is not None else None if is_inline else self.store.put_bytes(data)
        now = time.time()
        keep = task_.options.keep if task_.options.cache else UNCACHED_SECONDS
        entry = Entry(
            key=key,
            name=task_.name,
            version=task_.version,
            codec=encoded.codec,
            media_type=encoded.media_type,
            blob=blob,
            size=file.size if file is not None else len(data or b""),
            inline=data if is_inline else None,
            files=tuple(sorted(codec.files_in(value))),
            created=now,
            expires=None if keep is None else now + keep,
            node=self.settings.node,
            seconds=seconds,
        )
        self.store.put_entry(entry)
        return entry

    def keep_files(self, value: Any) -> None:
        """Put what `File.of` made in this process into the storage, before anything refers to it."""
        for sha256, path in codec.unstored(value).items():
            if not self.store.has(sha256):
                self.store.put_path(path)

    def load(self, key: str) -> Any:
        entry = self.store.get_entry(key)
        if entry is None:
            raise MissingPart(f"the result {key[:12]} is not in the storage any more: call it again")
        self.store.used("index", key)
        return self.value_of(entry)

    def value_of(self, entry: Entry) -> Any:
        if entry.codec == "file":
            return codec.File(entry.blob or "", entry.size, entry.name.rpartition(".")[2])
        data = entry.inline if entry.inline is not None else self.store.read(entry.blob)
        return codec.decode(entry.codec, data, pickle_key=self.settings.pickle_key)

    def arguments_of(self, claim: Claim) -> dict[str, Any]:
        arguments = codec.unpack(claim.arguments)
        if isinstance(arguments, dict) and set(arguments) == {"$blob"}:
            arguments = codec.unpack(self.store.read(arguments["$blob"]))
        if not isinstance(arguments, dict):
            raise ValueError("a job's arguments are not a mapping")
        return {name: relocate(value, claim.moved) for name, value in arguments.items()}

    def perform(self, claim: Claim, task_: Task) -> str:
        """Do a claimed job. Returns the key of its result, or "" when it waits for its parts now."""
        if claim.continuation is not None:
            return self.put_together(claim, task_)
        arguments = self.arguments_of(claim)
        key = task_.key_of(arguments) if task_.options.cache else claim.key
        if task_.options.cache and self.store.get_entry(key) is not None:
            return key
        values = resolve(arguments, functools.lru_cache(maxsize=None)(self.load))
        started = time.monotonic()
        if not task_.options.is_call:
            value = attempt(invoke, task_, values)
            return self.commit(task_, key, value, time.monotonic() - started).key
        plan = Plan()
        outcome = attempt(planned, plan, task_, values)
        refs: list[str] = []
        structure = as_refs(outcome, refs)
        if not refs:
            return self.commit(task_, key, outcome, time.monotonic() - started).key
        self.schedule(claim, plan, structure, refs, key)
        return ""

    def schedule(self, claim: Claim, plan: Plan, structure: Any, refs: list[str], key: str) -> None:
        """Hand what is not cached of a tree to the workers, parts before what takes them."""
        ids: dict[str, str] = {}
        batch: list[tuple[str, Part]] = []

        def send() -> bool:
            known = self.ledger.add_parts(claim, [part for _, part in batch])
            if known is None:
                return False
            ids.update(zip((part_key for part_key, _ in batch), known, strict=True))
            batch.clear()
            return True

        for part_key in needed(plan, structure, lambda one: self.store.get_entry(one) is not None):
            node = plan.nodes[part_key]
            id_ = new_id()
            waits = [ids[part] for part in dict.fromkeys(node.parts) if part in ids]
            batch.append((part_key, Part(id_, self.job_for(node.task, node.arguments, is_top=False), waits)))
            ids[part_key] = id_
            if len(batch) >= BATCH and not send():
                return
        if batch and not send():
            return
        continuation = codec.pack({"key": key, "result": structure})
        if len(continuation) > INLINE_BYTES:
            continuation = codec.pack({"$blob": self.store.put_bytes(continuation)})
        self.ledger.park(claim, continuation, [ids[ref] for ref in dict.fromkeys(refs) if ref in ids])

    def put_together(self, claim: Claim, task_: Task) -> str:
        """The result of a call whose parts are done."""
        stored: Any = codec.unpack(claim.continuation or b"")
        if "$blob" in stored:
            stored = codec.unpack(self.store.read(stored["$blob"]))
        structure = relocate(stored["result"], claim.moved)
        key: str = stored["key"]
        if claim.moved:
            # Parts of two versions of the code: right for whoever asked, for nobody else.
            key = hashlib.sha256(f"mixed {claim.id}".encode()).hexdigest()
        if isinstance(structure, Ref):
            entry = self.store.get_entry(structure.key)
            if entry is None:
                raise MissingPart(f"the result {structure.key[:12]} is not in the storage any more: call it again")
            self.store.put_entry(
                replace(entry, key=key, name=task_.name, version=task_.version, expires=self.expiry(task_, entry))
            )
            return key
        return self.commit(task_, key, resolve(structure, self.load), 0).key

    def expiry(self, task_: Task, part: Entry) -> float | None:
        """A call's result lasts no longer than the part that it is."""
        ends = [] if part.expires is None else [part.expires]
        if task_.options.keep is not None:
            ends.append(time.time() + task_.options.keep)
        return min(ends, default=None)


class RedisStore:
    """Results of an application with `storage: none`: small values only, for a day."""

    LIMIT = 1 << 20

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def get_entry(self, key: str) -> Entry | None:
        found: Any = self.ledger.redis.get(f"{self.ledger.prefix}entry:{key}")
        return None if found is None else read_entry(found)

    def put_entry(self, entry: Entry) -> None:
        fields = {name: getattr(entry, name) for name in Entry.__dataclass_fields__}
        ttl = self.ledger.ttl_seconds if entry.expires is None else max(1, int(entry.expires - time.time()))
        self.ledger.redis.set(f"{self.ledger.prefix}entry:{entry.key}", codec.pack(fields), ex=ttl)

    def put_bytes(self, data: bytes) -> str:
        if len(data) > self.LIMIT:
            raise ConfigError(
                f"a value of {len(data)} bytes has no place: `storage: none` keeps up to {self.LIMIT}; "
                "set `storage` in cu.config.yaml"
            )
        sha256 = hashlib.sha256(data).hexdigest()
        self.ledger.redis.set(f"{self.ledger.prefix}blob:{sha256}", data, ex=self.ledger.ttl_seconds)
        return sha256

    def read(self, sha256: str) -> bytes:
        found: Any = self.ledger.redis.get(f"{self.ledger.prefix}blob:{sha256}")
        if found is None:
            raise MissingPart(f"the value {sha256[:12]} is not kept any more: call it again")
        return bytes(found)

    def has(self, sha256: str) -> bool:
        return False

    def put_path(self, path: Path) -> typing.NoReturn:
        raise ConfigError(f"{path.name} is a file: files need `storage` in cu.config.yaml")

    def used(self, kind: str, id_: str) -> None:
        """Redis forgets by time alone."""


def read_entry(data: bytes) -> Entry:
    fields: Any = codec.unpack(data)
    return Entry(**{**fields, "files": tuple(fields["files"])})


def attach_storage(store: Store, ledger: Ledger) -> None:
    """Prove that the storage is the one that this project's other processes use."""
    known = ledger.storage_id()
    if known is None:
        known = ledger.remember_storage(store.attach(None))
    store.attach(known)


def planned(plan: Plan, task_: Task, arguments: Mapping[str, Any]) -> Any:
    """What the body of a call returns, with placeholders for the results of its tasks."""
    token = PLAN.set(plan)
    try:
        return invoke(task_, arguments)
    finally:
        PLAN.reset(token)


def attempt(run: Callable[..., Any], *arguments: Any) -> Any:
    """Run the user's code; its exceptions come as TaskRaised, but for those by which Celery interrupts it."""
    try:
        return run(*arguments)
    except (ArgumentErrors, SoftTimeLimitExceeded):
        raise
    except Exception as error:
        raise TaskRaised(error) from error


def needed(plan: Plan, outcome: Any, is_cached: Callable[[str], bool]) -> list[str]:
    """The keys that have to be computed for an outcome, parts before what takes them."""
    wanted: list[str] = []
    as_refs(outcome, wanted)
    if not wanted:
        refs_in(outcome, wanted)
    visited: set[str] = set()
    order: list[str] = []
    pending = [(key, False) for key in reversed(wanted)]
    while pending:
        key, are_parts_done = pending.pop()
        if are_parts_done:
            order.append(key)
        elif key not in visited:
            visited.add(key)
            if not is_cached(key):
                pending.append((key, True))
                pending += [(part, False) for part in reversed(plan.nodes[key].parts)]
    return order


def refs_in(value: Any, found: list[str]) -> Any:
    if isinstance(value, Ref):
        found.append(value.key)
        return value
    return rebuild(value, lambda item: refs_in(item, found))


def resolve(value: Any, load: Callable[[str], Any]) -> Any:
    """`value` with each reference replaced by the result that it names."""
    if isinstance(value, Ref):
        return load(value.key)
    return rebuild(value, lambda item: resolve(item, load))


def relocate(value: Any, moved: Mapping[str, str]) -> Any:
    if not moved:
        return value
    return resolve(value, lambda key: Ref(moved.get(key, key)))


def invoke(task_: Task, arguments: Mapping[str, Any]) -> Any:
    """Call the function itself, arguments made what its annotations say."""
    values = convert(task_, arguments)
    positional = [
        values.pop(parameter.name)
        for parameter in task_.signature.parameters.values()
        if parameter.kind is parameter.POSITIONAL_ONLY
    ]
    return task_.function(*positional, **values)


@dataclass(frozen=True)
class Schedule:
    """A call by the clock; either `seconds` or `cron` (minute hour day month weekday, UTC)."""

    task: Task
    arguments: Mapping[str, Any]
    seconds: float | None
    cron: str | None


SCHEDULES: dict[str, Schedule] = {}


def schedule(task_: Task, *, every: float | None = None, cron: str | None = None, **arguments: Any) -> None:
    """Submit a call every so many seconds, or by a cron line in UTC; the service of kind `beat` does it."""
    if (every is None) == (cron is None):
        raise TypeError(f"schedule({task_.name}) takes either every=SECONDS or cron='MINUTE HOUR DAY MONTH WEEKDAY'")
    if every is not None and every < 1:
        raise TypeError(f"every={every} is less than a second")
    if cron is not None and len(cron.split()) != 5:
        raise TypeError(f"cron={cron!r} has not the five fields MINUTE HOUR DAY MONTH WEEKDAY")
    bound = task_.bind((), arguments)
    name = f"{task_.name}:{hashlib.sha256(repr((every, cron, task_.key_of(bound))).encode()).hexdigest()[:12]}"
    SCHEDULES[name] = Schedule(task_, bound, every, cron)


_runtime: Runtime | None = None
_runtime_pid = 0


def runtime() -> Runtime:
    """This process's runtime; made anew after a fork, because connections cannot be shared."""
    global _runtime, _runtime_pid
    if _runtime is None or _runtime_pid != os.getpid():
        _runtime, _runtime_pid = Runtime(load_settings() if _runtime is None else _runtime.settings), os.getpid()
    return _runtime


@contextlib.contextmanager
def use(settings: Settings, patience_seconds: float = 10) -> Iterator[Runtime]:
    """Work with these settings instead of the environment's."""
    global _runtime, _runtime_pid
    before = (_runtime, _runtime_pid)
    _runtime, _runtime_pid = Runtime(settings, patience_seconds), os.getpid()
    try:
        yield _runtime
    finally:
        _runtime, _runtime_pid = before


def load_tasks(settings: Settings) -> dict[str, Task]:
    """Import the user's modules; every decorated function by its name."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for module in settings.modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            raise ConfigError(
                f"no module {module} in {os.getcwd()}: CU_TASKS names the modules with your tasks, default `tasks`"
            ) from error
    return REGISTRY
