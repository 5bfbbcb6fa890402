"""Plain Python functions as a distributed, cached web service."""

from .api import CallError, ContextProxy, MissingPart, Pending, Task, call, schedule, task
from .codec import File
from .keys import Unhashable, key_for

ctx = ContextProxy()

__all__ = [
    "CallError",
    "File",
    "MissingPart",
    "Pending",
    "Task",
    "Unhashable",
    "call",
    "ctx",
    "key_for",
    "schedule",
    "task",
]
