"""Writes docs/runtime-reference.md from the code; `--check` only says whether it is up to date."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import cu
from cu import __main__ as entry
from cu.config import SECRETS, VARIABLES

PAGE = Path(__file__).parents[2] / "docs" / "runtime-reference.md"


def main() -> int:
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text)
        return 0
    if PAGE.read_text() == text:
        return 0
    print(f"{PAGE.name} is not what the code says: run `python reference.py` in templates/runtime", file=sys.stderr)
    return 1


def page() -> str:
    parts = ["# Reference of the runtime", "Made from the code by `templates/runtime/reference.py`.", "## Functions"]
    for function in (cu.task, cu.call, cu.schedule, cu.key_for):
        parts += [f"### `{function.__name__}`", signature(function), described(function)]
    parts += ["### `ctx`", "What a running task can say and ask; outside of a worker it does nothing."]
    parts.append(table(methods(cu.api.Context)))
    parts += [
        "### A decorated function",
        table(methods(cu.Task)),
        "### What `submit` returns",
        table(methods(cu.Pending)),
    ]
    parts += ["### `File`", inspect.getdoc(cu.File) or "", table(methods(cu.File))]
    parts += ["## Settings", table(VARIABLES), "## Secrets", table(SECRETS)]
    parts += [
        "## `python -m cu`",
        table({name: (run.__doc__ or SUMMARIES[name]) for name, run in entry.COMMANDS.items()}),
    ]
    return "\n\n".join(parts) + "\n"


SUMMARIES = {
    "worker": "Run tasks until SIGTERM.",
    "web": "Serve the HTTP API.",
    "beat": "Submit calls by the clock.",
    "purge": "Plan, apply, restore and empty: what may go from the storage.",
}


def signature(function: object) -> str:
    parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    shown = [name.name if name.default is name.empty else f"{name.name}={name.default!r}" for name in parameters]
    return "    " + f"cu.{function.__name__}({', '.join(shown)})"  # type: ignore[attr-defined]


def described(function: object) -> str:
    """The docstring, with its `name: text` lines as a list."""
    lines = (inspect.getdoc(function) or "").splitlines()
    return "\n".join(f"- `{line.replace(': ', '`: ', 1)}" if is_entry(line) else line for line in lines)


def is_entry(line: str) -> bool:
    name, colon, _ = line.partition(": ")
    return bool(colon) and name.isidentifier()


def methods(kind: type) -> dict[str, str]:
    found = {name: member for name, member in vars(kind).items() if not name.startswith("_")}
    return {name: text for name, member in found.items() if (text := inspect.getdoc(member)) and is_ours(member)}


def is_ours(member: object) -> bool:
    return callable(member) or isinstance(member, property | staticmethod)


def table(rows: dict[str, str]) -> str:
    lines = [f"| `{name}` | {' '.join(text.split()).replace('|', chr(92) + '|')} |" for name, text in rows.items()]
    return "\n".join(["| name | meaning |", "| --- | --- |", *lines])


if __name__ == "__main__":
    sys.exit(main())
