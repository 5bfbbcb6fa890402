"""The worker: Celery brings hints, the ledger gives the work, leases are renewed beside it.

Three kinds of processes: Celery's main process takes hints from the queues; its children run the tasks; a thread of the
main process, the keeper, renews the leases of what the children run. It does so there because a child that computes in C
may not run another thread for minutes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import redis
from billiard.exceptions import SoftTimeLimitExceeded
from celery import Celery, bootsteps, signals
from celery.app.amqp import AMQP
from kombu import Connection, Consumer, Exchange, Queue

from . import codec
from .api import CONTEXT, Context, Runtime, TaskRaised, load_tasks, runtime
from .config import Settings, load_settings
from .ledger import Claim, queue_for
from .log import set_up_logging
from .manifest import ArgumentErrors

RETRY_CAP_SECONDS = 60.0
UNKNOWN_TASK_SECONDS = 2.0
BROKER_PAUSE_SECONDS = 1.0
CANARY_SECONDS = 5.0
CHAIN_SECONDS = 1.0
"""For so long a child goes on with the next job by itself before it asks Celery again."""
FINISH_PATIENCE_SECONDS = 3600.0
STOPPING = "stopping"
BUSY = Path("/tmp/cu-busy")
Answer = TypeVar("Answer")


log = logging.getLogger("cu")


def quiet_logging(**_: Any) -> None:
    """JSON lines, without those in which Celery says what the ledger says better."""
    set_up_logging()
    for noisy in ("celery.worker.strategy", "celery.app.trace", "amqp", "kombu"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class Amqp(AMQP):  # type: ignore[misc]
    """Consumes without acknowledgements: a hint that dies with its worker is given again by the ledger."""

    def TaskConsumer(self, channel: Any, *args: Any, **options: Any) -> Any:
        return super().TaskConsumer(channel, *args, **{**options, "no_ack": True})


def make_app(settings: Settings) -> Celery:
    """Celery over Redis with everything off that the ledger does better."""
    app = Celery("cu", broker=settings.broker_url, amqp=Amqp)
    app.conf.update(
        broker_transport_options={"global_keyprefix": f"{settings.prefix}mq:", "socket_timeout": 30},
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_retry_delay=0.2,
        task_ignore_result=True,
        task_acks_late=False,
        task_default_queue=settings.queues[0],
        worker_prefetch_multiplier=1,
        # A busy worker leaves hints to idle ones instead of keeping one in hand for each child.
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        accept_content=["json", "msgpack"],
        worker_hijack_root_logger=False,
        worker_max_tasks_per_child=None,
    )
    app.task(name="cu.run", bind=True, ignore_result=True)(run_hint)
    return app


def __getattr__(name: str) -> Any:
    # `celery -A cu.worker:app flower`; nobody else should connect by importing.
    if name == "app":
        return make_app(load_settings())
    raise AttributeError(name)


def queues_of(settings: Settings) -> list[str]:
    """Its queues, and for each what only workers with some of its offers may take."""
    offers = sorted(name for name, amount in settings.offers.items() if amount > 0)
    subsets = [subset for size in range(len(offers) + 1) for subset in combinations(offers, size)]
    return [queue_for(queue, subset) for queue in settings.queues for subset in subsets]


def serve(settings: Settings) -> None:
    """Run a worker until it is told to stop."""
    settings.heartbeat_path.unlink(missing_ok=True)
    load_tasks(settings)
    hand = Path(tempfile.mkdtemp(prefix="cu-held-"))
    os.environ["CU_HELD"] = str(hand)
    signals.setup_logging.connect(quiet_logging, weak=False)
    app = make_app(settings)
    keeper = Keeper(settings, hand)
    signals.worker_ready.connect(lambda **_: keeper.start(), weak=False)
    signals.worker_shutting_down.connect(lambda **_: keeper.drain(), weak=False)
    add_canary(app, settings)
    worker = app.Worker(
        hostname=f"{settings.node}@{os.uname().nodename}",
        queues=queues_of(settings),
        concurrency=settings.concurrency,
        pool="prefork",
        optimization="fair",
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
        loglevel="INFO",
    )
    worker.start()
    keeper.stop()
    sys.exit(worker.exitcode or 0)


def run_hint(task: Any) -> None:
    """In a child: look at the job that a hint names."""
    run_job(runtime(), task.request.id)


def run_job(rt: Runtime, id_: str) -> str:
    """Claim, do and finish a job, and small ones that follow. Returns what became of the first."""
    settings = rt.settings
    try:
        claim: Claim | str | None = rt.ledger.claim(id_, settings.node, settings.offers)
    except redis.RedisError as error:
        # The reaper will hint again.
        log.warning("claim failed", extra={"fields": {"job": id_, "error": str(error)}})
        return "unclaimed"
    if isinstance(claim, str):
        return claim
    first = ""
    ends = time.monotonic() + CHAIN_SECONDS
    while isinstance(claim, Claim):
        with held(claim):
            # A message with a time limit is watched by Celery until it returns.
            may_chain = not claim.has_timeout and time.monotonic() < ends
            outcome, claim = work(rt, claim, queues_of(settings) if may_chain and not is_stopping() else [])
        first = first or outcome
    return first


def is_stopping() -> bool:
    directory = os.environ.get("CU_HELD")
    return directory is None or Path(directory, STOPPING).exists()


@contextlib.contextmanager
def held(claim: Claim) -> Iterator[None]:
    """Tell the keeper which job this process has in hand."""
    directory = os.environ.get("CU_HELD")
    path = None if directory is None else Path(directory, str(os.getpid()))
    if path is not None:
        partial = path.with_suffix(".new")
        partial.write_text(f"{claim.id} {claim.fence}")
        partial.rename(path)
    try:
        yield
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def work(rt: Runtime, claim: Claim, queues: list[str]) -> tuple[str, Claim | None]:
    """What became of it, and the next job when `queues` has one."""
    known = load_tasks(rt.settings).get(claim.name)
    fields = {
        "job": claim.id,
        "key": claim.key,
        "function": claim.name,
        "node": rt.settings.node,
        "attempt": claim.attempt,
    }
    if known is None:
        # Another version of the image may know it, in the middle of a rollout.
        persist(lambda: rt.ledger.release(claim.id, claim.fence, UNKNOWN_TASK_SECONDS))
        log.warning("task unknown here, left for another worker", extra={"fields": fields})
        return "unknown", None
    following: Claim | None = None
    started = time.monotonic()
    log.info("task started", extra={"fields": fields})
    context = JobContext(rt, claim, fields)
    token = CONTEXT.set(context)
    try:
        with contextlib.ExitStack() as pins:
            codec.current_pins.set(pins)
            key = rt.perform(claim, known)
        if key == "":
            # Its parts were handed on; what they come to is put together later.
            outcome = "waiting"
        else:
            is_done, following = persist(
                lambda: rt.ledger.finish(claim, key, rt.settings.node, rt.settings.offers, queues)
            )
            outcome = "done" if is_done else "lost"
    except SoftTimeLimitExceeded:
        outcome = interrupted(rt, claim, known.options, time.monotonic() - started)
    except redis.RedisError as error:
        # Not the task's fault: it is tried again, as if it had never been claimed.
        log.warning("broker away", extra={"fields": {**fields, "error": str(error)}})
        persist(lambda: rt.ledger.release(claim.id, claim.fence, BROKER_PAUSE_SECONDS))
        outcome = "released"
    except TaskRaised as raised:
        outcome = failed(rt, claim, known.options, raised.error, fields)
    except Exception as error:
        outcome = failed(rt, claim, known.options, error, fields)
    finally:
        CONTEXT.reset(token)
        codec.current_pins.set(None)
    seconds = round(time.monotonic() - started, 4)
    log.info(f"task {outcome}", extra={"fields": {**fields, "seconds": seconds}})
    return outcome, following


def interrupted(rt: Runtime, claim: Claim, options: Any, seconds: float) -> str:
    """Its time was over, or somebody cancelled it."""
    if not persist(lambda: rt.ledger.is_held(claim)):
        return "cancelled"
    if options.timeout is None or seconds < options.timeout:
        # The signal was meant for the job before.
        persist(lambda: rt.ledger.release(claim.id, claim.fence))
        return "released"
    problem = {"type": "TimeoutError", "message": f"it took longer than its timeout of {options.timeout:g} s"}
    delay = retry_delay(claim, options, TimeoutError())
    return persist(lambda: rt.ledger.fail(claim, problem, delay))


def failed(rt: Runtime, claim: Claim, options: Any, error: Exception, fields: dict[str, Any]) -> str:
    lines = traceback.format_exception(error)
    log.error("task raised", extra={"fields": {**fields, "traceback": "".join(lines)[-8000:]}})
    problem: dict[str, object] = {"type": type(error).__name__, "message": str(error)[:2000]}
    if isinstance(error, ArgumentErrors):
        problem["errors"] = [{"parameter": name, "message": message} for name, message in error.errors]
    delay = retry_delay(claim, options, error)
    return persist(lambda: rt.ledger.fail(claim, problem, delay))


def retry_delay(claim: Claim, options: Any, error: BaseException) -> float | None:
    """Seconds until the next try: 1, 2, 4... up to a minute; None when another try is no use."""
    if isinstance(error, ArgumentErrors) or not isinstance(error, options.retry_for):
        return None
    return float(min(2.0 ** (claim.attempt - 1), RETRY_CAP_SECONDS))


def persist(step: Callable[[], Answer]) -> Answer:
    """Do a step of the ledger, however long Redis is away: what was computed must not be in vain."""
    deadline = time.monotonic() + FINISH_PATIENCE_SECONDS
    while True:
        try:
            return step()
        except redis.RedisError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


class JobContext(Context):
    """`ctx` within a job."""

    def __init__(self, rt: Runtime, claim: Claim, fields: dict[str, Any]) -> None:
        self.job = claim.id
        self.attempt = claim.attempt
        self._runtime = rt
        self._claim = claim
        self._fields = fields
        self._said = 0.0
        self._asked = 0.0
        self._is_cancelled = False

    def progress(self, fraction: float | None = None, message: str = "") -> None:
        now = time.monotonic()
        if now - self._said < 0.2 and (fraction is None or fraction < 1):
            return
        self._said = now
        with contextlib.suppress(redis.RedisError):
            self._runtime.ledger.progress(self.job, fraction, message)

    def log(self, text: str) -> None:
        log.info(text, extra={"fields": self._fields})
        with contextlib.suppress(redis.RedisError):
            self._runtime.ledger.log(self.job, text)

    def cancelled(self) -> bool:
        now = time.monotonic()
        if not self._is_cancelled and now - self._asked > 0.2:
            self._asked = now
            with contextlib.suppress(redis.RedisError):
                self._is_cancelled = not self._runtime.ledger.is_held(self._claim)
        return self._is_cancelled


class Keeper:
    """Renews leases, notices dead children, reaps what expired, and hands back what a stop leaves undone."""

    def __init__(self, settings: Settings, hand: Path) -> None:
        self.settings = settings
        self.hand = hand
        self.deadline: float | None = None
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.keep, name="keeper", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.is_over.set()

    def drain(self) -> None:
        """No new work from now on; what runs may go on until shortly before the container is killed."""
        (self.hand / STOPPING).touch()
        log.info("stopping", extra={"fields": {"running": len(self.held()), "grace": self.settings.drain_seconds}})
        grace = self.settings.drain_seconds
        self.deadline = time.monotonic() + max(grace - min(5.0, grace / 4), 0)

    def held(self) -> dict[str, tuple[int, int]]:
        """Job to (fence, process) of everything that children have in hand."""
        found: dict[str, tuple[int, int]] = {}
        for path in self.hand.glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):
                job, fence = path.read_text().split()
                found[job] = (int(fence), int(path.name))
        return found

    def keep(self) -> None:
        ledger = Runtime(self.settings, patience_seconds=2).ledger
        lease = self.settings.lease_seconds
        renewed = reaped = time.monotonic()
        quiet_until = 0.0
        while not self.is_over.wait(min(0.25, lease / 8)):
            try:
                now = time.monotonic()
                self.say_what_is_left()
                self.bury(ledger)
                if now - renewed >= lease / 4:
                    self.renew(ledger)
                    if time.monotonic() - renewed > lease:
                        # Redis was away or frozen.
                        quiet_until = time.monotonic() + lease
                    renewed = now
                if now - reaped >= 0.5:
                    reaped = now
                    # After a pause of Redis everybody may renew before anything is taken from anybody.
                    ledger.reap(take=now > quiet_until and uptime_seconds(ledger) > lease)
                if self.deadline is not None and now > self.deadline:
                    self.give_back(ledger)
            except redis.RedisError:
                continue

    def say_what_is_left(self) -> None:
        """For whoever waits for the end of a worker that stops: how many calls, and the seconds of the oldest."""
        if self.deadline is None:
            return
        ages = []
        for path in self.hand.glob("[0-9]*"):
            with contextlib.suppress(OSError):
                ages.append(time.time() - path.stat().st_mtime)
        with contextlib.suppress(OSError):
            BUSY.write_text(f"{len(ages)} {max(ages, default=0):.0f}\n")

    def renew(self, ledger: Any) -> None:
        held_now = self.held()
        gone = ledger.renew((job, fence) for job, (fence, _) in held_now.items())
        if gone:
            # A job that ended just now is gone as well: give its process the time to say so.
            time.sleep(0.05)
        for job in gone:
            pid = held_now[job][1]
            # Celery's soft time limit: an exception in the task, which was cancelled or given to another worker.
            if self.held().get(job, (0, 0))[1] == pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGUSR1)

    def bury(self, ledger: Any) -> None:
        """A child that was killed cannot say so."""
        for job, (fence, pid) in self.held().items():
            if not is_alive(pid):
                ledger.lost(job, fence)
                (self.hand / str(pid)).unlink(missing_ok=True)
                log.error("a process died", extra={"fields": {"job": job, "pid": pid}})

    def give_back(self, ledger: Any) -> None:
        """The grace is over: another worker has it within a second."""
        for job, (fence, pid) in self.held().items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            ledger.release(job, fence)
            log.warning("handed back", extra={"fields": {"job": job}})
        os._exit(0)


def uptime_seconds(ledger: Any) -> float:
    """How long Redis has been up: after a restart, leases could not be renewed meanwhile."""
    return float(ledger.redis.info("server")["uptime_in_seconds"])


def is_alive(pid: int) -> bool:
    """Whether a child runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def add_canary(app: Celery, settings: Settings) -> None:
    """A message to its own queue, every few seconds, taken by the loop that takes the hints.

    The heartbeat file is touched when it comes back: so the loop ticks, Redis answers and messages arrive.
    """
    name = f"canary.{settings.node}.{os.uname().nodename}"
    queue = Queue(name, Exchange(name), routing_key=name, auto_delete=True, durable=False)

    class Canary(bootsteps.ConsumerStep):  # type: ignore[misc]
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def get_consumers(self, channel: Any) -> list[Consumer]:
            return [Consumer(channel, queues=[queue], callbacks=[self.on_message], accept=["json"], no_ack=True)]

        def start(self, consumer: Any) -> None:
            super().start(consumer)
            self.connection = Connection(
                settings.broker_url, transport_options={**app.conf.broker_transport_options, "max_retries": 0}
            )
            self.timer = consumer.timer.call_repeatedly(CANARY_SECONDS, self.send)
            self.send()

        def stop(self, consumer: Any) -> None:
            self.timer.cancel()
            super().stop(consumer)

        def send(self) -> None:
            with contextlib.suppress(Exception), self.connection.Producer() as producer:
                producer.publish({"at": time.time()}, routing_key=name, exchange="", serializer="json", retry=False)

        def on_message(self, body: Any, message: Any) -> None:
            settings.heartbeat_path.touch()

    app.steps["consumer"].add(Canary)
