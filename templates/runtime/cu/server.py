"""The HTTP server, uvicorn, made to stop while clients wait and to refuse endless headers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 * 1024
STOP_SECONDS = 30
KEEP_ALIVE_SECONDS = 75
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def run(app: Any, host: str, port: int, on_stop: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; `on_stop` ends the waits, anything else in flight has STOP_SECONDS."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    # uvicorn raises the signal again once it has stopped: that was a stop as asked for, not a failure.
    # Threads that hang in a broken storage must not keep the process from ending.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Server(config, on_stop).run()


class Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self.on_stop = on_stop

    async def shutdown(self, sockets: Any = None) -> None:
        self.on_stop()
        await super().shutdown(sockets)


class BoundedProtocol(HttpToolsProtocol):
    """httptools itself has no limit for the request line and headers."""

    is_in_head = True
    head_bytes = 0

    def on_message_begin(self) -> None:
        self.is_in_head, self.head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.is_in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.is_in_head:
            self.head_bytes += len(data)
            if self.head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(TOO_LARGE)
                self.transport.close()
