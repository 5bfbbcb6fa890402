"""Redis and the storage as the event loop uses them: in threads, each with its own, and with a limit of time.

So neither of them can hold up what needs only the other when it hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from .api import RedisStore, attach_storage
from .config import Settings
from .ledger import Job, Ledger
from .problems import SOON, Problem
from .store import StorageError, Store

T = TypeVar("T")

REDIS_SECONDS = 2.5
STORAGE_SECONDS = 30.0


class Backend:
    """One for a process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger(
            settings.broker_url, settings.prefix, ttl_seconds=settings.job_ttl_seconds, patience_seconds=0.5
        )
        self._store: Any = RedisStore(self.ledger)
        self.storage_trouble: str | None = None
        if settings.storage_url is not None:
            self.storage_trouble = f"the storage {settings.storage_url} is not attached yet"
        self._redis_threads = ThreadPoolExecutor(16, "redis")
        self._storage_threads = ThreadPoolExecutor(16, "storage")

    @property
    def store(self) -> Any:
        """The shared storage, or the small one in Redis; Problem until it is attached."""
        if self.storage_trouble is not None:
            raise Problem(503, self.storage_trouble, headers=SOON)
        return self._store

    async def attach(self) -> None:
        """Attach the storage, however long it takes: Redis knows which one is right, and may be away."""
        while self.storage_trouble is not None:
            try:
                self._store = await in_thread(self._storage_threads, STORAGE_SECONDS, open_store, self)
                self.storage_trouble = None
            except Exception as error:
                self.storage_trouble = f"the storage {self.settings.storage_url} cannot be used yet: {error}"
                await asyncio.sleep(1)

    async def with_redis(self, step: Callable[..., T], *arguments: Any) -> T:
        return await in_thread(self._redis_threads, REDIS_SECONDS, step, *arguments)

    async def with_storage(self, step: Callable[..., T], *arguments: Any) -> T:
        if isinstance(self.store, RedisStore):
            return await self.with_redis(step, *arguments)
        try:
            return await in_thread(self._storage_threads, STORAGE_SECONDS, step, *arguments)
        except (TimeoutError, FileNotFoundError):
            raise
        except OSError as error:
            what = f"the storage {self.settings.storage_url} does not work: {error.strerror}"
            raise StorageError(what) from error

    def later(self, step: Callable[..., object], *arguments: Any) -> None:
        """Do something with the storage that nobody waits for."""
        self._storage_threads.submit(step, *arguments)

    async def read_jobs(self, ids: Iterable[str]) -> dict[str, Job | None]:
        wanted = list(ids)
        return await self.with_redis(lambda: {id_: self.ledger.get(id_) for id_ in wanted})

    def need_files(self) -> None:
        if self.settings.storage_url is None:
            raise Problem(501, "this service keeps no files: it runs with `storage: none`")

    def check_storage(self) -> None:
        """StorageError unless it is the one that the project uses."""
        if isinstance(self.store, Store):
            self.store.attach(self.ledger.storage_id())

    def check_mount(self) -> None:
        """StorageError when it is not there any more: a call whose result nobody could read is not taken."""
        if isinstance(self.store, Store):
            self.store.check()

    def close(self) -> None:
        self._redis_threads.shutdown(wait=False, cancel_futures=True)
        self._storage_threads.shutdown(wait=False, cancel_futures=True)


async def in_thread(threads: ThreadPoolExecutor, seconds: float, step: Callable[..., T], *arguments: Any) -> T:
    """TimeoutError after `seconds`, though the thread goes on."""
    async with asyncio.timeout(seconds):
        return await asyncio.get_running_loop().run_in_executor(threads, step, *arguments)


def open_store(backend: Backend) -> Store:
    settings = backend.settings
    store = Store(
        str(settings.storage_url),
        settings.namespace,
        cache_dir=settings.cache_dir,
        cache_bytes=settings.cache_bytes,
    )
    attach_storage(store, backend.ledger)
    return store
