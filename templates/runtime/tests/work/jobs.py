"""What the tests let real workers do. `mark` writes beside Redis, so that it survives what Redis does not."""

from __future__ import annotations

import os
import time
from pathlib import Path

from cu import call, ctx, task


def mark(what: str) -> None:
    path = Path(os.environ["CU_MARKS"])
    line = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(line, f"{what}\n".encode())
    os.close(line)


@task
def work(id: str, seconds: float = 0.0) -> str:
    mark(f"S {id} {os.getpid()}")
    time.sleep(seconds)
    mark(f"D {id}")
    return id


@task(priority=9)
def urgent(id: str) -> str:
    mark(f"S {id} {os.getpid()}")
    return id


@task
def double(number: int) -> int:
    mark(f"S double {number}")
    return 2 * number


@task
def add(numbers: list) -> int:
    mark("S add")
    return sum(numbers)


@call(public=True)
def total(count: int, offset: int = 0) -> int:
    """The sum of the doubles of the first numbers, and an offset.

    Args:
        count: how many numbers
        offset: added at the end
    """
    return add([add([double(number) for number in range(count)]), offset])


@call
def nested(count: int) -> int:
    return add([total(count), total(count, 1)])


@call
def by_size(numbers: list) -> list:
    return [double(number) for number in numbers]


@call
def dynamic(count: int) -> list:
    return by_size(numbers_up_to(count))


@task
def numbers_up_to(count: int) -> list:
    return list(range(count))


@task(retries=2, retry_for=ConnectionError)
def flaky(id: str, fails: int) -> int:
    mark(f"S {id}")
    if ctx.attempt <= fails:
        raise ConnectionError("not now")
    return ctx.attempt


@task
def broken(text: str) -> None:
    raise ValueError(f"cannot do {text}")


@call
def partly_broken() -> int:
    return add([double(1), broken("this")])


@task
def poison(id: str) -> None:
    mark(f"S {id}")
    os.kill(os.getpid(), 9)


@task(timeout=1)
def slow(id: str) -> None:
    mark(f"S {id}")
    while True:
        time.sleep(0.05)


@task
def watched(id: str, seconds: float) -> str:
    mark(f"S {id}")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ctx.cancelled():
            mark(f"C {id}")
            return "cancelled"
        ctx.progress(0.4, "reading")
        time.sleep(0.05)
    return "finished"


@task(resources={"gpu": 1})
def on_gpu(id: str) -> str:
    mark(f"S {id}")
    time.sleep(0.3)
    mark(f"D {id}")
    return os.environ["CU_INSTANCE"]


@task(limits={"license": 2})
def licensed(id: str) -> None:
    mark(f"S {id}")
    time.sleep(0.3)
    mark(f"D {id}")


@task(cache=False)
def clock() -> float:
    return time.time()


@task
def big(number: int, size: int) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


@task
def length(parts: list) -> int:
    return sum(len(part) for part in parts)


@call
def heavy(count: int, size: int) -> int:
    return length([big(number, size) for number in range(count)])
