"""The webserver's numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.responses import Response


class Metrics:
    """In a registry of its own, so that two in one process do not meet."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter("cu_requests", "Requests by status", ["status"], registry=registry)
        self.seconds = Histogram("cu_request_seconds", "Time from request to answer", registry=registry)
        calls = Counter("cu_calls", "Calls by how they were answered", ["outcome"], registry=registry)
        self.hits, self.misses, self.joined = (calls.labels(outcome) for outcome in ("hit", "miss", "joined"))
        self.jobs = Gauge("cu_jobs", "Jobs by state; done ones since ever", ["state"], registry=registry)
        self.oldest = Gauge(
            "cu_queue_age_seconds", "Time in the queue of the job that waits longest", registry=registry
        )
        self.is_queue_up = Gauge("cu_queue_up", "1 when Redis answers", registry=registry)
        self.waiting = Gauge("cu_waiting_clients", "Requests that wait for a job", registry=registry)
        self.kept = Gauge("cu_answers_bytes", "Answers kept in memory, ready to send", registry=registry)
        self._by_status: dict[int, Any] = {}

    def count(self, status: int, seconds: float) -> None:
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self.requests.labels(str(status))
        counter.inc()
        self.seconds.observe(seconds)

    def response(self, jobs: Mapping[str, int], oldest_seconds: float, waiting: int, kept_bytes: int) -> Response:
        """`jobs` is empty when Redis does not answer."""
        self.is_queue_up.set(bool(jobs))
        for state, count in jobs.items():
            self.jobs.labels(state).set(count)
        self.oldest.set(oldest_seconds)
        self.waiting.set(waiting)
        self.kept.set(kept_bytes)
        return Response(generate_latest(self.registry), media_type="text/plain; version=0.0.4; charset=utf-8")
