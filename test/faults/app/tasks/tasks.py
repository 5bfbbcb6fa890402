"""What workers do in the fault suites. `mark` writes beside Redis, so that it survives what Redis does not."""

import os
import time
from pathlib import Path

from cu import call

VERSION = Path(__file__).with_name("version.txt").read_text().strip()


def mark(what: str) -> None:
    line = os.open("/marks/marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(line, f"{what}\n".encode())
    os.close(line)


@call(public=True)
def accept(id: str, seconds: float) -> str:
    mark(f"S {id} {VERSION}")
    time.sleep(seconds)
    mark(f"D {id} {VERSION}")
    return id
