"""Calls by the clock. One in the fleet; a tick that two of them see is one call all the same."""

from __future__ import annotations

import logging
import signal
import threading
import time
from datetime import UTC, datetime

import redis
from celery.schedules import crontab

from .api import SCHEDULES, Runtime, Schedule, load_tasks
from .config import Settings
from .log import set_up_logging

log = logging.getLogger("cu")
LATE_SECONDS = 3600.0
"""A tick that was missed for longer, because nothing ran, is not made up for."""


def serve(settings: Settings) -> int:
    settings.heartbeat_path.unlink(missing_ok=True)
    set_up_logging()
    load_tasks(settings)
    rt = Runtime(settings, patience_seconds=2)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log.info("beat started", extra={"fields": {"schedules": len(SCHEDULES)}})
    while not stop.wait(0.5):
        try:
            for name, one in SCHEDULES.items():
                tick(rt, name, one)
            settings.heartbeat_path.touch()
        except redis.RedisError as error:
            log.warning("broker away", extra={"fields": {"error": str(error)}})
    return 0


def tick(rt: Runtime, name: str, one: Schedule) -> None:
    due = latest(one, time.time())
    place = f"{rt.settings.prefix}beat:{name}"
    before = rt.ledger.redis.get(place)
    if before is None:
        # The first sight of a schedule: it begins with its next tick.
        rt.ledger.redis.set(place, due, nx=True)
        return
    if due <= float(before):
        return
    if time.time() - due < LATE_SECONDS:
        # Equal calls are one job, so a crash between the two steps repeats at worst a finished call.
        pending = rt.submit(one.task, one.arguments)
        log.info("tick", extra={"fields": {"function": one.task.name, "job": pending.id}})
    rt.ledger.redis.set(place, due)


def latest(one: Schedule, now: float) -> float:
    """The last moment, in unix seconds, at which the schedule was due."""
    if one.seconds is not None:
        return now // one.seconds * one.seconds
    minute, hour, day, month, weekday = (one.cron or "").split()
    cron = crontab(minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday)
    moment = now // 60 * 60
    for _ in range(366 * 24 * 60):
        at = datetime.fromtimestamp(moment, UTC)
        is_day = (
            at.isoweekday() % 7 in cron.day_of_week and at.day in cron.day_of_month and at.month in cron.month_of_year
        )
        if not is_day:
            moment = moment // 86_400 * 86_400 - 60
            continue
        if at.minute in cron.minute and at.hour in cron.hour:
            return float(moment)
        moment -= 60
    return 0.0
