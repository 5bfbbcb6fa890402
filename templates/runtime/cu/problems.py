"""Answers that are no results, as application/problem+json (RFC 9457): what, where, what next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from .api import MissingPart
from .manifest import ArgumentErrors
from .store import StorageError

SOON = {"retry-after": "2"}


class Problem(Exception):
    """`more` are further members of the JSON object."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: object) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.more = more

    def response(self, request_id: str) -> Response:
        title = HTTPStatus(self.status).phrase
        members = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
        body = json.dumps({**members, "request_id": request_id, **self.more}).encode()
        return Response(body, self.status, self.headers, "application/problem+json")


def as_problem(error: BaseException) -> Problem | None:
    """What a client is told of an error; None for a bug, of which it learns only the id of its request."""
    match error:
        case Problem():
            return error
        case HTTPException():
            return Problem(error.status_code, error.detail, headers=error.headers)
        case ArgumentErrors():
            errors = [{"parameter": name, "message": message} for name, message in error.errors]
            return Problem(422, str(error), errors=errors)
        case StorageError():
            return Problem(503, str(error), headers=SOON)
        case MissingPart():
            return Problem(410, str(error))
        case RedisError() | TimeoutError():
            what = "the queue or the storage does not answer: nothing was lost, try again"
            return Problem(503, what, headers=SOON)
        case _:
            return None


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    plain = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(json.dumps(value).encode(), status, {**plain, **(headers or {})}, "application/json")
