"""The ledger: every accepted call as a record in Redis, from which no crash can take it.

A Celery message is only a hint to look at a record. Work is held by a lease with a fence: a number that grows with
each claim, so that a worker which lost its lease can no longer finish. Each step is one Lua script, hence atomic.
(Leases and fencing tokens as in M. Kleppmann, "How to do distributed locking", 2016.)
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, cast

import redis
from redis.backoff import ExponentialBackoff
from redis.commands.core import Script
from redis.retry import Retry

ENDED = frozenset({"done", "failed", "dead", "cancelled"})
STATES = ("queued", "waiting", "running", "failed", "dead", "cancelled")
DEAD_TTL_SECONDS = 7 * 86_400

SCRIPTS = {
    "submit": """
local id, new = create(ARGV[1], cjson.decode(ARGV[2]), ARGV[3])
if new == 1 then enqueue(id) end
return {id, new}""",
    # ARGV: parent, fence, ttl, then for each part: id, fields, arguments, ids of its parts. Children come first.
    "add_parts": """
if not holds(ARGV[1], ARGV[2]) then return false end
local ids, alias = {}, {}
for i = 4, #ARGV, 4 do
  local id, new = create(ARGV[i], cjson.decode(ARGV[i + 1]), ARGV[i + 2])
  alias[ARGV[i]] = id
  ids[#ids + 1] = id
  if new == 1 then
    local parts = {}
    for part in string.gmatch(ARGV[i + 3], '[^,]+') do parts[#parts + 1] = alias[part] or part end
    wait_for(id, parts, tonumber(ARGV[3]))
  end
end
return ids""",
    # ARGV: id, fence, ttl, continuation, parts...
    "park": """
if not holds(ARGV[1], ARGV[2]) then return 0 end
free(ARGV[1])
redis.call('HSET', job(ARGV[1]), 'then', ARGV[4])
redis.call('HINCRBY', job(ARGV[1]), 'attempts', -1)
local parts = {}
for i = 5, #ARGV do parts[#parts + 1] = ARGV[i] end
wait_for(ARGV[1], parts, tonumber(ARGV[3]))
return 1""",
    # ARGV: id, node, lease seconds, offers, max_lost, ttl. A string says why not.
    "claim": "return claim(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])",
    # ARGV: node, lease seconds, offers, max_lost, ttl, queues...: the next hint, as a worker's main process would take it
    "take": "return take(1)",
    # ARGV: as for take, without queues when no more is wanted; at the end id, fence, key of the result, ttl
    "finish": """
local last = #ARGV
local ok = finish(ARGV[last - 3], ARGV[last - 2], ARGV[last - 1], ARGV[last])
if last == 9 then return {ok, false} end
return {ok, take(1, last - 4)}""",
    # ARGV: lease seconds, then id and fence in turn. Returns the ids that are no longer held.
    "renew": """
local gone = {}
for i = 2, #ARGV, 2 do
  if holds(ARGV[i], ARGV[i + 1]) then
    redis.call('HSET', job(ARGV[i]), 'lease', now + ARGV[1])
    redis.call('ZADD', P .. 'due', now + ARGV[1], ARGV[i])
  else
    gone[#gone + 1] = ARGV[i]
  end
end
return gone""",
    # ARGV: id, fence, error, delay of a retry in seconds (negative: none), ttl
    "fail": """
local id = ARGV[1]
if not holds(id, ARGV[2]) then return 0 end
if tonumber(ARGV[4]) >= 0 and number(id, 'tries') < number(id, 'retries') then
  free(id)
  redis.call('HINCRBY', job(id), 'tries', 1)
  redis.call('HSET', job(id), 'next', now + ARGV[4], 'error', ARGV[3], 'hints', 0)
  move(id, 'queued')
  redis.call('ZADD', P .. 'due', now + ARGV[4], id)
  return 2
end
give_up(id, 'failed', ARGV[3], ARGV[5])
return 1""",
    # ARGV: id, fence, seconds until it is offered again
    "release": """
if not holds(ARGV[1], ARGV[2]) then return 0 end
free(ARGV[1])
redis.call('HINCRBY', job(ARGV[1]), 'fence', 1)
redis.call('HINCRBY', job(ARGV[1]), 'attempts', -1)
if tonumber(ARGV[3]) > 0 then
  redis.call('HSET', job(ARGV[1]), 'next', now + ARGV[3], 'hints', 0)
  move(ARGV[1], 'queued')
  redis.call('ZADD', P .. 'due', now + ARGV[3], ARGV[1])
else
  enqueue(ARGV[1])
end
return 1""",
    # ARGV: id, fence, max_lost, ttl: its process is known to be dead
    "lost": """
if not holds(ARGV[1], ARGV[2]) then return 0 end
lose(ARGV[1], ARGV[3], ARGV[4])
return 1""",
    # ARGV: max_lost, ttl, how many at most, whether expired leases count (1) or get more time (0)
    "reap": """
local seen = redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', now, 'LIMIT', 0, ARGV[3])
for _, id in ipairs(seen) do
  local state = get(id, 'state')
  if state == 'queued' then hint(id)
  elseif state == 'running' then
    if number(id, 'lease') >= now then redis.call('ZADD', P .. 'due', get(id, 'lease'), id)
    elseif ARGV[4] == '1' then lose(id, ARGV[1], ARGV[2])
    else redis.call('ZADD', P .. 'due', now + 1, id) end
  elseif state == 'waiting' then
    local parts = redis.call('SMEMBERS', P .. 'down:' .. id)
    redis.call('DEL', P .. 'down:' .. id)
    wait_for(id, parts, ARGV[2])
  else redis.call('ZREM', P .. 'due', id) end
end
for _, state in ipairs({'failed', 'dead', 'cancelled'}) do
  redis.call('ZREMRANGEBYSCORE', P .. 'in:' .. state, '-inf', now - ARGV[2])
end
return #seen""",
    # ARGV: id, ttl. What only this job wanted is cancelled with it.
    "cancel": """
local pending, first = {ARGV[1]}, true
if ENDED[get(ARGV[1], 'state') or 'done'] then return 0 end
while #pending > 0 do
  local id = table.remove(pending)
  local is_wanted = redis.call('SCARD', P .. 'up:' .. id) > 0 or get(id, 'top') == '1'
  if first or not is_wanted then
    local parts = redis.call('SMEMBERS', P .. 'down:' .. id)
    give_up(id, 'cancelled', cjson.encode({type = 'Cancelled', message = 'it was cancelled'}), ARGV[2])
    for _, part in ipairs(parts) do
      redis.call('SREM', P .. 'up:' .. part, id)
      pending[#pending + 1] = part
    end
  end
  first = false
end
return 1""",
    # ARGV: id
    "retry": """
local id, state = ARGV[1], get(ARGV[1], 'state')
if (state ~= 'dead' and state ~= 'failed') or not get(id, 'args') then return 0 end
local known = redis.call('SET', P .. 'call:' .. get(id, 'key'), id, 'NX')
if not known then return 0 end
redis.call('PERSIST', job(id))
redis.call('HDEL', job(id), 'error', 'finished', 'then', 'next')
redis.call('HSET', job(id), 'lost', 0, 'tries', 0, 'attempts', 0)
enqueue(id)
return 1""",
}


@dataclass(frozen=True)
class NewJob:
    """A call to be accepted. `arguments` is `codec.pack` of them; `timeout` seconds or None."""

    name: str
    version: str
    key: str
    arguments: bytes
    queue: str = "celery"
    priority: int = 0
    timeout: float | None = None
    retries: int = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    is_call: bool = False
    owner: str = ""
    is_top: bool = True
    """False for a part of a tree, whose record goes as soon as it is done."""

    def fields(self) -> str:
        # kombu knows the priorities 0, 3, 6, 9, and serves 0 first.
        step = 9 - 3 * round(min(max(self.priority, 0), 9) / 3)
        return json.dumps(
            {
                "name": self.name,
                "version": self.version,
                "key": self.key,
                "queue": queue_for(self.queue, self.resources),
                "step": str(step),
                "timeout": "" if self.timeout is None else f"{self.timeout:g}",
                "retries": str(self.retries),
                "resources": json.dumps(dict(self.resources)),
                "limits": json.dumps(dict(self.limits)),
                "call": "1" if self.is_call else "0",
                "owner": self.owner,
                "top": "1" if self.is_top else "0",
            }
        )


@dataclass(frozen=True)
class Submitted:
    id: str
    joined: bool


@dataclass(frozen=True)
class Job:
    """What can be known of a job. Times are unix seconds."""

    id: str
    name: str
    version: str
    key: str
    state: str
    queue: str
    attempts: int
    progress: float | None
    message: str
    error: Mapping[str, Any] | None
    result_key: str | None
    node: str
    created: float
    started: float | None
    finished: float | None


@dataclass(frozen=True)
class Claim:
    """A job that this process may work on until the lease ends."""

    id: str
    fence: int
    name: str
    version: str
    key: str
    arguments: bytes
    attempt: int
    continuation: bytes | None
    """What a planned `@call` has to put together from its parts; None before it is planned."""
    moved: Mapping[str, str]
    """Results that lie under another key than planned, because newer code computed them."""
    has_timeout: bool


@dataclass(frozen=True)
class Part:
    """A node of a tree; `parts` are the ids of the jobs whose results it takes."""

    id: str
    job: NewJob
    parts: Sequence[str]


def new_id() -> str:
    return secrets.token_hex(16)


def queue_for(queue: str, resources: Iterable[str]) -> str:
    """Only workers that offer all of `resources` listen to this queue."""
    return "+".join([queue, *sorted(resources)])


class Ledger:
    """One project's and environment's jobs. Safe to use from several threads, not across a fork."""

    def __init__(
        self,
        url: str,
        prefix: str,
        *,
        lease_seconds: float = 10,
        max_lost: int = 5,
        ttl_seconds: int = 86_400,
        patience_seconds: float = 2,
    ) -> None:
        self.redis = redis.Redis.from_url(
            url,
            socket_timeout=max(patience_seconds, 2),
            socket_connect_timeout=2,
            health_check_interval=30,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), max(1, int(patience_seconds * 3))),
        )
        self.prefix = prefix
        self.events_channel = f"{prefix}events"
        self.lease_seconds = lease_seconds
        self.max_lost = max_lost
        self.ttl_seconds = ttl_seconds
        prelude = files("cu").joinpath("ledger.lua").read_text()
        self._scripts: dict[str, Script] = {
            name: self.redis.register_script(prelude + body) for name, body in SCRIPTS.items()
        }

    def submit(self, job: NewJob) -> Submitted:
        """Accept a call, durably, or join an equal one that is in flight."""
        id_, new = self._run("submit", new_id(), job.fields(), job.arguments)
        return Submitted(id_.decode(), joined=new == 0)

    def add_parts(self, claim: Claim, parts: Sequence[Part]) -> list[str] | None:
        """Accept nodes of a tree, children first. Returns the ids that count; None: the claim is lost."""
        flat: list[object] = []
        for part in parts:
            flat += [part.id, part.job.fields(), part.job.arguments, ",".join(part.parts)]
        ids = self._run("add_parts", claim.id, claim.fence, DEAD_TTL_SECONDS, *flat)
        return None if ids is None else [id_.decode() for id_ in ids]

    def park(self, claim: Claim, continuation: bytes, parts: Sequence[str]) -> bool:
        """Let a planned call wait for its parts, holding nothing meanwhile."""
        return bool(self._run("park", claim.id, claim.fence, DEAD_TTL_SECONDS, continuation, *parts))

    def claim(self, id_: str, node: str, offers: Mapping[str, float]) -> Claim | str:
        """Take a lease on a queued job, or say why not: its state, `later`, `no room` or `gone`."""
        found = self._run("claim", id_, *self._claimant(node, offers))
        return found.decode() if isinstance(found, bytes) else read_claim(found)

    def take(self, node: str, offers: Mapping[str, float], queues: Sequence[str]) -> Claim | None:
        """Claim the next job of these queues without Celery, unless it has a timeout, which only Celery can enforce."""
        found = self._run("take", *self._claimant(node, offers), *queues)
        return None if found is None else read_claim(found)

    def _claimant(self, node: str, offers: Mapping[str, float]) -> tuple[Any, ...]:
        return node, self.lease_seconds, json.dumps(dict(offers)), self.max_lost, DEAD_TTL_SECONDS

    def renew(self, held: Iterable[tuple[str, int]]) -> set[str]:
        """Prolong leases; returns the jobs that are no longer held (cancelled, or given to another)."""
        flat = [part for pair in held for part in pair]
        return {id_.decode() for id_ in self._run("renew", self.lease_seconds, *flat)} if flat else set()

    def finish(
        self,
        claim: Claim,
        result_key: str,
        node: str = "",
        offers: Mapping[str, float] | None = None,
        queues: Sequence[str] = (),
    ) -> tuple[bool, Claim | None]:
        """Mark as done, and claim the next job of `queues` in the same step; the result is in the storage already.

        False: the lease was lost, nothing changed. Again with the same claim is fine: the first answer may have got lost.
        """
        taken = self._claimant(node, offers or {})
        done, found = self._run("finish", *taken, *queues, claim.id, claim.fence, result_key, self.ttl_seconds)
        return bool(done), None if found is None else read_claim(found)

    def fail(self, claim: Claim, error: Mapping[str, object], retry_in: float | None) -> str:
        """`queued` when it will be tried again, `failed`, or `lost` when the lease was lost."""
        delay = -1 if retry_in is None else retry_in
        outcome = self._run("fail", claim.id, claim.fence, json.dumps(error), delay, DEAD_TTL_SECONDS)
        return ("lost", "failed", "queued")[outcome]

    def release(self, id_: str, fence: int, delay_seconds: float = 0) -> bool:
        """Give a job back untouched, for another worker to take now or after `delay_seconds`."""
        return bool(self._run("release", id_, fence, delay_seconds))

    def lost(self, id_: str, fence: int) -> bool:
        """The process that held it is dead: no need to wait for the end of the lease."""
        return bool(self._run("lost", id_, fence, self.max_lost, DEAD_TTL_SECONDS))

    def reap(self, *, take: bool = True, most: int = 500) -> int:
        """Hint again at what nobody took; requeue what expired, if `take`. Returns how many jobs were looked at."""
        return int(self._run("reap", self.max_lost, DEAD_TTL_SECONDS, most, int(take)))

    def cancel(self, id_: str) -> bool:
        """Cancel a job and what only it wanted; False when it had ended already."""
        return bool(self._run("cancel", id_, self.ttl_seconds))

    def retry(self, id_: str) -> bool:
        """Queue a dead or failed job anew; False when there is none, or an equal call is in flight."""
        return bool(self._run("retry", id_))

    def get(self, id_: str) -> Job | None:
        found = cast("dict[bytes, bytes]", self.redis.hgetall(f"{self.prefix}job:{id_}"))
        return read_job(id_, {name.decode(): value for name, value in found.items()}) if found else None

    def jobs(self, state: str, limit: int = 100) -> list[Job]:
        """The newest jobs in a state; of `done` ones only those that were asked for by id are known."""
        ids = cast("list[bytes]", self.redis.zrevrange(f"{self.prefix}in:{state}", 0, limit - 1))
        return [job for id_ in ids if (job := self.get(id_.decode())) is not None]

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state now; `done` is how many ever were."""
        with self.redis.pipeline(transaction=False) as pipe:
            for state in STATES:
                pipe.zcard(f"{self.prefix}in:{state}")
            pipe.hget(f"{self.prefix}totals", "done")
            *sizes, done = pipe.execute()
        return {**dict(zip(STATES, sizes, strict=True)), "done": int(done or 0)}

    def oldest_queued_seconds(self) -> float:
        """How long the job that waits longest has been in the queue; 0 when it is empty."""
        first = cast("list[tuple[bytes, float]]", self.redis.zrange(f"{self.prefix}in:queued", 0, 0, withscores=True))
        return max(0.0, time.time() - first[0][1]) if first else 0.0

    def progress(self, id_: str, fraction: float | None, message: str) -> None:
        values = {"message": message} if fraction is None else {"progress": str(fraction), "message": message}
        self._publish(id_, values, {"progress": fraction, "message": message})

    def log(self, id_: str, text: str) -> None:
        self._publish(id_, None, {"log": text})

    def is_held(self, claim: Claim) -> bool:
        state, fence = self.redis.hmget(f"{self.prefix}job:{claim.id}", "state", "fence")
        return state == b"running" and int(fence or 0) == claim.fence

    def storage_id(self) -> str | None:
        """The id of the storage that this project uses, as first seen by any of its processes."""
        found = cast("bytes | None", self.redis.get(f"{self.prefix}storage"))
        return None if found is None else found.decode()

    def remember_storage(self, id_: str) -> str:
        """Record the storage's id unless one is known; returns the one that counts."""
        self.redis.set(f"{self.prefix}storage", id_, nx=True)
        return self.storage_id() or id_

    def _publish(self, id_: str, values: dict[str, str] | None, event: dict[str, object]) -> None:
        with self.redis.pipeline(transaction=False) as pipe:
            if values is not None:
                pipe.hset(f"{self.prefix}job:{id_}", mapping=cast("Any", values))
            pipe.publish(self.events_channel, json.dumps({"job": id_, **event}))
            pipe.execute()

    def _run(self, script: str, *arguments: Any) -> Any:
        return self._scripts[script](keys=[self.prefix], args=arguments)


def read_claim(found: Sequence[Any]) -> Claim:
    id_, fields, pairs = found
    fence, name, version, key, arguments, attempts, timeout, continuation = fields
    moved = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return Claim(
        id=id_.decode(),
        fence=int(fence),
        name=name.decode(),
        version=version.decode(),
        key=key.decode(),
        arguments=arguments,
        attempt=int(attempts),
        continuation=continuation,
        moved={field[3:].decode(): value.decode() for field, value in moved.items() if field.startswith(b"as:")},
        has_timeout=timeout != b"",
    )


def read_job(id_: str, fields: Mapping[str, bytes]) -> Job:
    def text(name: str) -> str:
        return fields.get(name, b"").decode()

    def number(name: str) -> float | None:
        return float(fields[name]) if name in fields else None

    return Job(
        id=id_,
        name=text("name"),
        version=text("version"),
        key=text("key"),
        state=text("state"),
        queue=text("queue"),
        attempts=int(number("attempts") or 0),
        progress=number("progress"),
        message=text("message"),
        error=json.loads(fields["error"]) if "error" in fields else None,
        result_key=text("result") or None,
        node=text("node"),
        created=number("created") or 0,
        started=number("started"),
        finished=number("finished"),
    )
