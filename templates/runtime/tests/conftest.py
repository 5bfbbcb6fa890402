"""What the tests share; the fixtures of `cu.testing` come with the package, or from here when it is not installed."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest
from service import Service, Web

from cu.testing import RedisServer

if not any(entry.name == "cu" for entry in importlib.metadata.entry_points(group="pytest11")):
    pytest_plugins = ["cu.testing"]


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, to be killed and frozen."""
    directory = tmp_path / "redis"
    directory.mkdir()
    server = RedisServer(directory)
    server.start()
    yield server
    server.signal(18)
    server.stop()


@pytest.fixture
def redis_url(cu_redis: str) -> str:
    return cu_redis


@pytest.fixture(scope="module")
def service(cu_redis: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("web"), cu_redis)
    made.worker()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def web(service: Service) -> Web:
    return service.web(CU_MAX_UPLOAD="300m")


@pytest.fixture
def alone(tmp_path: Path, redis_server: RedisServer) -> Iterator[Service]:
    """A service whose Redis and storage a test may break."""
    made = Service(tmp_path / "alone", redis_server.url)
    yield made
    made.stop()
