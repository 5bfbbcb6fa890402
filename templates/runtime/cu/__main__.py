"""`python -m cu worker | web | beat | reap | purge | manifest | doctor`: what runs in the containers."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import redis

from .config import ConfigError, Settings, load_settings


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 2 wrong usage or settings, 4 it did not work."""
    arguments = sys.argv[1:] if argv is None else argv
    name = arguments[0] if arguments else "help"
    command = COMMANDS.get(name)
    if command is None:
        print(f"usage: python -m cu {' | '.join(COMMANDS)}", file=sys.stderr)
        return 0 if name in ("help", "-h", "--help") else 2
    from .store import StorageError

    try:
        return command(arguments[1:], load_settings()) or 0
    except ConfigError as error:
        print(f"cu {name}: {error}", file=sys.stderr)
        return 2
    except (StorageError, redis.RedisError) as error:
        print(f"cu {name}: {error}", file=sys.stderr)
        return 4


def worker(_: list[str], settings: Settings) -> int:
    from .worker import serve

    serve(settings)
    return 0


def web(_: list[str], settings: Settings) -> int:
    from .web import serve

    serve(settings)
    return 0


def beat(_: list[str], settings: Settings) -> int:
    from .beat import serve

    return serve(settings)


def purge(arguments: list[str], settings: Settings) -> int:
    from .purge import main as purge_main

    return purge_main(arguments, settings)


def manifest(arguments: list[str], settings: Settings) -> int:
    """Write what the webserver knows of the functions; in the Dockerfile, after the code was copied."""
    from .api import load_tasks
    from .manifest import make_manifest

    parser = argparse.ArgumentParser(prog="python -m cu manifest")
    parser.add_argument("--out", type=Path, default=settings.manifest_path)
    out: Path = parser.parse_args(arguments).out
    tasks = load_tasks(settings)
    first = importlib.import_module(settings.modules[0])
    lines = (first.__doc__ or settings.modules[0]).strip().splitlines()
    made = make_manifest(tasks, lines[0].rstrip("."), "\n".join(lines[1:]).strip())
    out.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    public = sum(function["public"] for function in made["functions"].values())
    print(f"{out}: {len(made['functions'])} functions, {public} of them public")
    if public == 0:
        print("nothing can be called over HTTP: put @call(public=True) on a function", file=sys.stderr)
    return 0


def reap(arguments: list[str], settings: Settings) -> int:
    """One look at what expired; workers do this all the time. Also lists dead jobs, and queues them anew."""
    from .api import Runtime

    parser = argparse.ArgumentParser(prog="python -m cu reap")
    parser.add_argument("--dead", action="store_true", help="list the jobs that killed their workers, and failed ones")
    parser.add_argument("--retry", metavar="JOB", help="queue a dead or failed job anew")
    options = parser.parse_args(arguments)
    ledger = Runtime(settings).ledger
    if options.retry:
        if not ledger.retry(options.retry):
            print(f"cu reap: {options.retry} is no dead or failed job, or an equal call runs already", file=sys.stderr)
            return 4
        print(f"{options.retry} queued")
    elif options.dead:
        for job in [*ledger.jobs("dead"), *ledger.jobs("failed")]:
            print(
                f"{job.id}  {job.state:6}  {job.name}  attempts {job.attempts}  {(job.error or {}).get('message', '')}"
            )
    else:
        print(f"{ledger.reap()} jobs looked at")
    return 0


def doctor(arguments: list[str], settings: Settings) -> int:
    """Check what a worker or webserver needs, and say how to mend it."""
    from .api import Runtime, attach_storage, load_tasks
    from .store import StorageError, Store

    parser = argparse.ArgumentParser(prog="python -m cu doctor")
    parser.add_argument(
        "--new-storage", action="store_true", help="from now on use the storage that is there, even another than before"
    )
    options = parser.parse_args(arguments)
    is_fine = True

    def say(what: str, problem: str | None) -> None:
        nonlocal is_fine
        is_fine = is_fine and problem is None
        print(f"{'ok  ' if problem is None else 'BAD '} {what}{'' if problem is None else f': {problem}'}")

    rt = Runtime(settings, patience_seconds=2)
    has_broker = True
    try:
        started = time.monotonic()
        rt.ledger.redis.ping()
        say(f"broker answers in {(time.monotonic() - started) * 1000:.1f} ms", None)
        memory = rt.ledger.redis.config_get("appendonly", "maxmemory-policy")
        if memory.get("appendonly") != "yes":
            say("broker", "appendonly is off: accepted calls would be lost with Redis; use `kind: redis`")
    except redis.exceptions.NoPermissionError:
        pass
    except redis.RedisError as error:
        has_broker = False
        at = urlsplit(settings.broker_url)
        say(f"broker at {at.hostname}:{at.port}", f"{error}; is the service of kind redis running? see `cu status`")
    if settings.storage_url is None:
        say("storage: none, results are kept in Redis for a day", None)
    else:
        try:
            store = Store(
                settings.storage_url, settings.namespace, cache_dir=settings.cache_dir, cache_bytes=settings.cache_bytes
            )
            if options.new_storage and has_broker:
                rt.ledger.redis.set(f"{settings.prefix}storage", store.attach(None, adopt=True))
            # Which storage it is, the broker remembers: of one that does not answer enough was said.
            if has_broker:
                attach_storage(store, rt.ledger)
            store.read(store.put_bytes(b"cu doctor"))
            say(f"storage {settings.storage_url} can be written and read", None)
        except (StorageError, redis.RedisError) as error:
            say("storage", str(error))
    try:
        say(f"{len(load_tasks(settings))} functions in {', '.join(settings.modules)}", None)
    except Exception as error:
        say(f"modules {', '.join(settings.modules)}", f"{type(error).__name__}: {error}")
    with tempfile.TemporaryFile():
        say(f"{tempfile.gettempdir()} can be written as uid {os.getuid()}", None)
    return 0 if is_fine else 4


COMMANDS = {
    "worker": worker,
    "web": web,
    "beat": beat,
    "reap": reap,
    "purge": purge,
    "manifest": manifest,
    "doctor": doctor,
}

if __name__ == "__main__":
    sys.exit(main())
