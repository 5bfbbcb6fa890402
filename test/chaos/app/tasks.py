"""What the chaos suite lets workers do. `mark` writes beside Redis, so that it survives what Redis does not."""

import os
import time

from cu import call


def mark(what: str) -> None:
    line = os.open("/marks/marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(line, f"{what}\n".encode())
    os.close(line)


@call(public=True)
def accept(id: str, seconds: float) -> str:
    mark(f"S {id}")
    time.sleep(seconds)
    mark(f"D {id}")
    return id
