"""What celery-utils got wrong, one test each: every one of them would fail on it.

Its 87 Redis commands for a cache hit are in test_web, `test_a_hit_asks_nothing_of_redis`; more of keys in test_keys."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import pickle
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service import Service, Web

from cu import api
from cu.testing import eventually


@pytest.fixture
def calls(cu_eager: api.Runtime) -> Iterator[list[Any]]:
    """What `described` was computed for."""
    computed: list[Any] = []

    def described(value: Any) -> str:
        computed.append(value)
        return f"{type(value).__name__} {value if np.ndim(value) == 0 else value.sum()!r}"

    api.task(described, name="predecessor.described", version="1")
    yield computed
    del api.REGISTRY["predecessor.described"]


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, "1"), (1e-9, 2e-9), (np.zeros(20_000), np.append(np.zeros(19_999), 1.0))],
    ids=["1 and '1'", "1e-9 and 2e-9", "two large arrays"],
)
def test_calls_that_differ_never_share_a_result(calls: list[Any], left: Any, right: Any) -> None:
    described = api.REGISTRY["predecessor.described"]

    results = [described(left), described(right), described(left), described(right)]

    assert len(calls) == 2
    assert results[:2] == results[2:]
    assert results[0] != results[1]


def test_a_required_argument_works_over_http_and_a_missing_one_is_named(web: Web) -> None:
    assert web.call("tasks.add", left=40).json() == 42
    assert web.call("tasks.add", left=40, right=1).json() == 41

    answer = web.call("tasks.add", right=1)
    assert answer.status_code == 422
    assert "left" in answer.json()["detail"]


def test_clients_that_wait_block_nobody(web: Web, tmp_path: Path) -> None:
    flags = [tmp_path / f"flag-{number}" for number in range(4)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = [pool.submit(web.call, "tasks.wait_for", 30, path=str(flag)) for flag in flags]
        eventually(lambda: web.client.get("/metrics").text.count("cu_") > 0, what="an answer")
        started = time.monotonic()
        assert web.client.get("/v1/calls").status_code == 200
        assert web.client.get("/healthz").status_code == 200
        assert not any(one.done() for one in waiting)
        assert time.monotonic() - started < 5
        for flag in flags:
            flag.touch()
        assert [one.result(60).json() for one in waiting] == ["there"] * 4


class Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_an_uploaded_pickle_is_bytes_and_is_never_run(web: Web, tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    data = pickle.dumps(Harm(harm))
    sent = web.client.post("/v1/files", content=data).json()

    assert web.call("tasks.length", region=sent).json() == len(data)
    for media_type in ("application/octet-stream", "application/x-python-pickle", "application/x-pickle"):
        answer = web.client.post("/v1/call/tasks.echo", content=data, headers={"Content-Type": media_type})
        assert answer.status_code == 415
    assert web.call("tasks.echo", value={"$pickle": data.hex()}).status_code == 422
    assert web.client.get(f"/v1/files/{sent['$file']}").content == data
    assert not harm.exists()


@pytest.mark.parametrize("method", ["DELETE", "GET", "PUT"])
@pytest.mark.parametrize("path", ["../victim", "..%2fvictim", "%2e%2e/victim", "a/../../victim", "%00"])
def test_no_path_of_a_client_reaches_a_file_with_a_token_or_without(
    web: Web, service: Service, method: str, path: str
) -> None:
    victim = service.directory / "victim"
    victim.write_text("precious")
    for token in ([], [f"Authorization: {web.client.headers['Authorization']}"]):
        # By hand, because clients tidy such a path before they send it.
        with socket.create_connection(("127.0.0.1", web.port), timeout=10) as raw:
            lines = [
                f"{method} /v1/files/{path} HTTP/1.1",
                "Host: localhost",
                *token,
                "Content-Length: 0",
                "Connection: close",
            ]
            raw.sendall("\r\n".join([*lines, "", ""]).encode())
            answer = b""
            while chunk := raw.recv(65536):
                answer += chunk
        assert answer.split()[1] in (b"400", b"401", b"404", b"405", b"422"), answer[:200]
        assert b"precious" not in answer
    assert victim.read_text() == "precious"


def test_nothing_is_done_or_deleted_for_who_has_no_token(web: Web) -> None:
    data = b"mine"
    web.client.post("/v1/files", content=data).raise_for_status()
    stranger = web.client_with(None)

    for method, path in (
        ("DELETE", f"/v1/files/{hashlib.sha256(data).hexdigest()}"),
        ("DELETE", "/v1/jobs/0123"),
        ("POST", "/v1/call/tasks.add"),
        ("GET", f"/v1/files/{hashlib.sha256(data).hexdigest()}"),
    ):
        assert stranger.request(method, path).status_code in (401, 405)
    assert web.client.get(f"/v1/files/{hashlib.sha256(data).hexdigest()}").content == data
