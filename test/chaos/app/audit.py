"""What the ledger says of itself, as JSON: run in a worker's container."""

import json

from cu.api import Runtime
from cu.config import load_settings

ledger = Runtime(load_settings()).ledger
prefix = ledger.prefix
problems = [(job.name, job.error) for state in ("failed", "dead", "cancelled") for job in ledger.jobs(state)]


def look() -> tuple[int, int]:
    """How often a job was committed, and how many jobs were; both at a moment at which nothing changed."""
    while True:
        before = ledger.counts()["done"]
        states = [ledger.redis.hget(key, "state") for key in ledger.redis.scan_iter(f"{prefix}job:*", count=1000)]
        if ledger.counts()["done"] == before:
            return before, sum(state == b"done" for state in states)


finished, entries = look()
print(json.dumps({**ledger.counts(), "finished": finished, "entries": entries, "problems": problems}))
