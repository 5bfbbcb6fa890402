"""What the ledger says of itself, as JSON: run in a worker's container."""

import json

from cu.api import Runtime
from cu.config import load_settings

ledger = Runtime(load_settings()).ledger
prefix = ledger.prefix
totals = {name.decode(): int(value) for name, value in ledger.redis.hgetall(f"{prefix}totals").items()}
states = [ledger.redis.hget(key, "state") for key in ledger.redis.scan_iter(f"{prefix}job:*", count=1000)]
print(
    json.dumps(
        {
            **ledger.counts(),
            "finished": totals.get("done", 0),
            "entries": sum(state == b"done" for state in states),
        }
    )
)
