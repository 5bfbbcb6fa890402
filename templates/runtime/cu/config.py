"""What a process is told by the deploy: environment variables of cu, and secrets as files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


VARIABLES = {
    "CU_PROJECT": "the project; part of every Redis key and storage path",
    "CU_ENV": "the environment",
    "CU_HOST": "the host, as the config names it",
    "CU_SERVICE": "the service",
    "CU_INSTANCE": "the instance of the service on its host",
    "CU_VERSION": "the version of the image",
    "CU_BROKER_URL": "where Redis is, user and password included",
    "CU_STORAGE": "the root of the shared storage: file:///DIR, s3://bucket/prefix...; none: Redis keeps small results",
    "CU_TASKS": "the modules with your functions, default tasks",
    "CU_MANIFEST": "the manifest that the webserver reads, default cu-manifest.json",
    "CU_QUEUES": "the queues of a worker, default celery",
    "CU_CONCURRENCY": "how many tasks a worker runs at once, default one for each processor",
    "CU_OFFERS": 'what tasks may ask of a worker\'s node, as JSON: {"gpu": 1}',
    "CU_DRAIN": "seconds until the container is killed after SIGTERM, default 600",
    "CU_LISTEN": "the address at which the webserver listens, default 0.0.0.0",
    "CU_PORT": "its port, default 8123",
    "CU_MAX_UPLOAD": "the largest file that may be uploaded, default 2g",
    "CU_CACHE_DIR": "local copies of files, for storages that are no directory, default /tmp/cu-cache",
    "CU_CACHE_SIZE": "how much they may take, default 2g",
    "CU_HEARTBEAT": "the file that a worker or beat touches while all is well, default /tmp/cu-heartbeat",
    "CU_LEASE": "seconds after which a worker that says nothing loses its jobs, default 10",
    "CU_MAX_LOST": "how many workers may die of a job before it counts as dead, default 5",
    "CU_JOB_TTL": "seconds for which an ended job can be asked for, default 86400",
}
"""Every variable, for the reference; cu sets those that come from its config."""

SECRETS = {
    "API_TOKEN": "a bearer token that may do everything, 16 characters or more",
    "API_TOKENS": "further ones, a line NAME:TOKEN:SCOPE,SCOPE each",
    "PICKLE_KEY": "switches on results of any type; they are signed with it",
}
"""Every secret: a file in /run/secrets, else a variable."""


class ConfigError(Exception):
    """A setting is missing or wrong; the message says which, and what to do."""


@dataclass(frozen=True)
class Settings:
    """Everything that comes from outside the code. Times are seconds, sizes bytes."""

    project: str
    env: str
    node: str
    """SERVICE.INSTANCE.HOST, the same for the old and the new container of a rollout."""
    version: str
    broker_url: str
    storage_url: str | None
    modules: tuple[str, ...]
    queues: tuple[str, ...]
    concurrency: int
    offers: Mapping[str, float]
    drain_seconds: float
    host: str
    port: int
    tokens: Mapping[str, frozenset[str]]
    """Bearer token to its scopes; `*` is every scope."""
    manifest_path: Path
    cache_dir: Path
    cache_bytes: int
    max_upload_bytes: int
    pickle_key: bytes | None
    heartbeat_path: Path
    lease_seconds: float
    max_lost: int
    job_ttl_seconds: int

    @property
    def prefix(self) -> str:
        """What every Redis key of this project and environment begins with."""
        return f"cu:{self.project}:{self.env}:"

    @property
    def namespace(self) -> str:
        """The folder of this project and environment below the storage root."""
        return f"{self.project}-{self.env}"


def load_settings(environ: Mapping[str, str] | None = None, secrets_dir: Path = Path("/run/secrets")) -> Settings:
    """Read and check every setting; a secret NAME is the file `secrets_dir`/NAME, else the variable NAME."""
    env = os.environ if environ is None else environ

    def secret(name: str) -> str | None:
        path = secrets_dir / name
        try:
            return path.read_text().rstrip("\n")
        except (FileNotFoundError, NotADirectoryError):
            return env.get(name)
        except OSError as error:
            raise ConfigError(f"cannot read the secret {name} at {path}: {error.strerror}") from error

    names = [env.get(part, default) for part, default in NODE_PARTS]
    storage = env.get("CU_STORAGE", "").strip()
    pickle_key = secret("PICKLE_KEY")
    return Settings(
        project=identifier(env, "CU_PROJECT", "local"),
        env=identifier(env, "CU_ENV", "dev"),
        node=".".join(names),
        version=env.get("CU_VERSION", ""),
        broker_url=env.get("CU_BROKER_URL", "redis://127.0.0.1:6379/0"),
        storage_url=storage if storage not in ("", "none") else None,
        modules=tuple(words(env.get("CU_TASKS", "tasks"))),
        queues=tuple(words(env.get("CU_QUEUES", "celery"))),
        concurrency=int(number(env, "CU_CONCURRENCY", os.cpu_count() or 1, low=1)),
        offers=amounts(env.get("CU_OFFERS", "{}")),
        drain_seconds=number(env, "CU_DRAIN", 600, low=0),
        host=env.get("CU_LISTEN", "0.0.0.0"),
        port=int(number(env, "CU_PORT", 8123, low=0, high=65535)),
        tokens=read_tokens(secret("API_TOKEN"), secret("API_TOKENS")),
        manifest_path=Path(env.get("CU_MANIFEST", "cu-manifest.json")),
        cache_dir=Path(env.get("CU_CACHE_DIR", "/tmp/cu-cache")),
        cache_bytes=parse_bytes(env.get("CU_CACHE_SIZE", "2g"), "CU_CACHE_SIZE"),
        max_upload_bytes=parse_bytes(env.get("CU_MAX_UPLOAD", "2g"), "CU_MAX_UPLOAD"),
        pickle_key=None if pickle_key is None else pickle_secret(pickle_key),
        heartbeat_path=Path(env.get("CU_HEARTBEAT", "/tmp/cu-heartbeat")),
        lease_seconds=number(env, "CU_LEASE", 10, low=1),
        max_lost=int(number(env, "CU_MAX_LOST", 5, low=1)),
        job_ttl_seconds=int(number(env, "CU_JOB_TTL", 86_400, low=60)),
    )


NODE_PARTS = (("CU_SERVICE", "local"), ("CU_INSTANCE", "1"), ("CU_HOST", "localhost"))


def words(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text) if word]


def identifier(env: Mapping[str, str], name: str, default: str) -> str:
    value = env.get(name, default)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", value):
        raise ConfigError(f"{name}={value!r} is not a name: letters, digits, dots, dashes; cu sets it")
    return value


def number(env: Mapping[str, str], name: str, default: float, low: float, high: float = float("inf")) -> float:
    text = env.get(name)
    try:
        value = default if text is None else float(text)
    except ValueError:
        raise ConfigError(f"{name}={text!r} is not a number") from None
    if not low <= value <= high:
        limits = f"{low:g} or more" if high == float("inf") else f"between {low:g} and {high:g}"
        raise ConfigError(f"{name}={text} must be {limits}")
    return value


def amounts(text: str) -> Mapping[str, float]:
    try:
        offers = json.loads(text)
        return {str(name): float(amount) for name, amount in offers.items()}
    except (ValueError, TypeError, AttributeError):
        raise ConfigError(f'CU_OFFERS={text!r} is not JSON like {{"gpu": 1}}') from None


def parse_bytes(text: str, name: str = "a size") -> int:
    """`2g` to 2147483648; units are powers of 1024."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?\s*", text.lower())
    if match is None:
        raise ConfigError(f"{name}={text!r} is not a size like 512m or 2g")
    return int(float(match[1]) * UNITS[match[2]])


def pickle_secret(text: str) -> bytes:
    if len(text) < 16:
        raise ConfigError("the secret PICKLE_KEY is shorter than 16 characters; make one with `openssl rand -hex 32`")
    return text.encode()


def read_tokens(one: str | None, many: str | None) -> Mapping[str, frozenset[str]]:
    """API_TOKEN may do everything; API_TOKENS has a line `NAME:TOKEN:SCOPE,SCOPE` for each further one."""
    tokens: dict[str, frozenset[str]] = {}
    if one:
        tokens[one.strip()] = frozenset("*")
    for index, line in enumerate((many or "").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.strip().split(":")
        if len(parts) != 3 or not parts[1]:
            raise ConfigError(f"line {index} of the secret API_TOKENS is not NAME:TOKEN:SCOPE,SCOPE")
        tokens[parts[1]] = frozenset(words(parts[2]))
    short = [token for token in tokens if len(token) < 16]
    if short:
        raise ConfigError(
            "an API token is shorter than 16 characters; make one with `openssl rand -hex 32`, "
            "and put it into .cu/secrets.env as API_TOKEN"
        )
    return tokens
