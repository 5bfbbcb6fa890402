"""Who waits for which job. One Redis subscription of the process wakes them all; a wait takes no thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from .ledger import ENDED, Job

Change = Mapping[str, Any]
"""What a running job said: `progress` and `message`, or `log`; empty when nothing could be learned."""
News = Job | Change | None
"""A job as it now is, something that it said, or None: the queue forgot it."""

log = logging.getLogger("cu")

READ_AGAIN_SECONDS = 2.0
LISTEN_ON_SECONDS = 30.0
BACKLOG = 1000


class Waiters:
    """`read` fetches the present state of jobs by id; it may fail while Redis is away, and is asked again."""

    def __init__(
        self, url: str, channel: str, read: Callable[[Iterable[str]], Awaitable[Mapping[str, Job | None]]]
    ) -> None:
        self.url = url
        self.channel = channel
        self.read = read
        self.queues: dict[str, set[asyncio.Queue[News]]] = {}
        self.stale: set[str] = set()
        self.woken = asyncio.Event()
        self.wanted = asyncio.Event()
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._refresh())

    def stop(self) -> None:
        """End every wait now, so that the process can go; the clients ask another one."""
        self.stopping.set()
        for queue in [queue for queues in self.queues.values() for queue in queues]:
            offer(queue, {})

    async def follow(self, id_: str) -> AsyncGenerator[News, None]:
        """The job as it is, then whatever happens to it until it ends or `stop` is called."""
        with self._queue(id_) as queue:
            now: News = (await self.read([id_]))[id_]
            while True:
                yield now
                if now is None or self.stopping.is_set() or (isinstance(now, Job) and now.state in ENDED):
                    return
                now = await queue.get()

    async def wait(self, id_: str, seconds: float) -> Job | None:
        """The job once it has ended, or as it is after `seconds`."""
        last: Job | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), contextlib.aclosing(self.follow(id_)) as all_news:
                async for news in all_news:
                    if not isinstance(news, Mapping):
                        last = news
        return last if last is not None else (await self.read([id_]))[id_]

    @contextlib.contextmanager
    def _queue(self, id_: str) -> Iterator[asyncio.Queue[News]]:
        queue: asyncio.Queue[News] = asyncio.Queue(BACKLOG)
        self.queues.setdefault(id_, set()).add(queue)
        self.wanted.set()
        try:
            yield queue
        finally:
            self.queues[id_].discard(queue)
            if not self.queues[id_]:
                del self.queues[id_]

    def _tell(self, id_: str, news: News) -> None:
        for queue in self.queues.get(id_, ()):
            offer(queue, news)

    async def _listen(self) -> None:
        """Hear the ledger's events while somebody waits; connects anew when Redis was away."""
        while True:
            await self.wanted.wait()
            try:
                client = redis.asyncio.Redis.from_url(self.url, socket_connect_timeout=2, health_check_interval=5)
                async with client, client.pubsub(ignore_subscribe_messages=True) as subscription:
                    await self._hear(subscription)
            except (RedisError, OSError):
                await asyncio.sleep(0.5)
            except Exception:
                # Whoever waits is still woken by `_refresh`.
                log.exception("an event cannot be read")
                await asyncio.sleep(0.5)

    async def _hear(self, subscription: Any) -> None:
        await subscription.subscribe(self.channel)
        await subscription.get_message(timeout=2)
        # What happened before the subscription stood was not heard.
        self._reread(self.queues)
        idle_since = time.monotonic()
        while self.queues or time.monotonic() - idle_since < LISTEN_ON_SECONDS:
            if self.queues:
                idle_since = time.monotonic()
            message = await subscription.get_message(timeout=1)
            if message is None:
                continue
            event = json.loads(message["data"])
            id_ = event.pop("job")
            if "state" in event:
                self._reread({id_} & self.queues.keys())
            else:
                self._tell(id_, event)
        self.wanted.clear()

    def _reread(self, ids: Iterable[str]) -> None:
        self.stale.update(ids)
        if self.stale:
            self.woken.set()

    async def _refresh(self) -> None:
        """Read what changed at once, and now and then everything that is waited for: events can get lost."""
        while True:
            try:
                async with asyncio.timeout(READ_AGAIN_SECONDS):
                    await self.woken.wait()
                ids = self.stale
            except TimeoutError:
                ids = set(self.queues)
            self.stale = set()
            self.woken.clear()
            if not ids:
                continue
            try:
                jobs = await self.read(ids)
            except (RedisError, OSError):
                # Redis is away: they stay as they are until it is back, or until their time is over.
                jobs = {}
            except Exception:
                log.exception("a job cannot be read")
                jobs = {}
            for id_ in ids - jobs.keys():
                self._tell(id_, {})
            for id_, job in jobs.items():
                self._tell(id_, job)


def offer(queue: asyncio.Queue[News], news: News) -> None:
    """Add to a queue; the oldest goes when a slow client let it fill up."""
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(news)
