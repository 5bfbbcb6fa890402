"""A web application for the fault suites: standard library only, well behaved until the file of knobs says otherwise.

A line of the file is `VERSION HOST KNOB`, `*` for any. It is read again and again, so that a version can go bad
at any moment of its deploy: `crash` 5 s after the line appeared, `sick` (never healthy), `flap` (healthy every other
second), `deaf` (does not hear SIGTERM).
"""

import asyncio
import base64
import hashlib
import os
import signal
import struct
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

VERSION = Path(__file__).with_name("version.txt").read_text().strip()
KNOBS = Path(os.environ.get("KNOBS", "/knobs/knobs"))
CRASH_AFTER = 5.0
CHUNK = 64 * 1024
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}


def pattern(size: int) -> bytes:
    """The same bytes at every version, so that a download can be checked."""
    return bytes(range(256)) * (size // 256)


class App:
    def __init__(self) -> None:
        self.knobs: set[str] = set()
        self.busy = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.stopping = asyncio.Event()
        self.websockets: set[asyncio.StreamWriter] = set()

    async def serve(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        server = await asyncio.start_server(self.connection, "0.0.0.0", port, backlog=512)
        watching = asyncio.create_task(self.watch())
        print(f"version {VERSION} listens on {port}", flush=True)
        await self.stopping.wait()
        # Requests that arrive meanwhile are served: whoever routes has told us to go only once it had stopped sending.
        for writer in self.websockets:
            writer.write(frame(0x8, struct.pack(">H", 1001)))
        await self.idle.wait()
        server.close()
        watching.cancel()
        print("all answers are out, leaving", flush=True)

    def stop(self) -> None:
        if "deaf" not in self.knobs:
            self.stopping.set()

    async def watch(self) -> None:
        crash_at: float | None = None
        while True:
            self.knobs = read_knobs()
            if "crash" not in self.knobs:
                crash_at = None
            elif crash_at is None:
                crash_at = time.monotonic() + CRASH_AFTER
            elif time.monotonic() > crash_at:
                print("crashing, as the knob says", flush=True)
                os._exit(17)
            await asyncio.sleep(0.05)

    def status(self) -> int:
        is_down = "sick" in self.knobs or ("flap" in self.knobs and int(time.time()) % 2 == 0)
        return 503 if is_down else 200

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.answer_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away
        finally:
            writer.close()

    async def answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; says whether the connection stays open for another one."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        target = urlsplit(head[0].split(" ")[1])
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        self.busy += 1
        self.idle.clear()
        try:
            if target.path == "/ws":
                await self.websocket(headers, reader, writer)
                return False
            if target.path == "/big":
                await big(writer, float(query.get("mb", "100")), float(query.get("seconds", "5")))
                return False
            if target.path not in ("/", "/healthz"):
                return await self.send(writer, 404, "no such page\n", headers)
            if target.path == "/healthz":
                return await self.send(writer, self.status(), f"{VERSION}\n", headers)
            await asyncio.sleep(float(query.get("ms", "0")) / 1000)
            body = f"{VERSION} {os.environ.get('CU_HOST', '')} {query.get('id', '')}\n"
            return await self.send(writer, 200, body, headers)
        finally:
            self.busy -= 1
            if self.busy == 0:
                self.idle.set()

    async def send(self, writer: asyncio.StreamWriter, status: int, body: str, headers: dict[str, str]) -> bool:
        stays = headers.get("connection", "").lower() != "close" and not self.stopping.is_set()
        lines = [f"HTTP/1.1 {status} {REASONS[status]}", "Content-Type: text/plain", f"Content-Length: {len(body)}"]
        lines.append(f"Connection: {'keep-alive' if stays else 'close'}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        await writer.drain()
        return stays

    async def websocket(
        self, headers: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Echoes messages of up to 125 bytes, the version in front, until either side closes."""
        accept = base64.b64encode(hashlib.sha1(headers["sec-websocket-key"].encode() + WEBSOCKET_GUID).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        self.websockets.add(writer)
        if self.stopping.is_set():
            writer.write(frame(0x8, struct.pack(">H", 1001)))
        try:
            while True:
                first, second = await reader.readexactly(2)
                mask = await reader.readexactly(4)
                payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(await reader.readexactly(second & 0x7F)))
                if first & 0x0F == 0x8:
                    if not self.stopping.is_set():
                        writer.write(frame(0x8, payload))
                    return
                writer.write(frame(0x1, VERSION.encode() + b" " + payload))
                await writer.drain()
        finally:
            self.websockets.discard(writer)


def frame(opcode: int, payload: bytes) -> bytes:
    return bytes([0x80 | opcode, len(payload)]) + payload


async def big(writer: asyncio.StreamWriter, megabytes: float, seconds: float) -> None:
    size = int(megabytes * 1_000_000) // CHUNK * CHUNK
    chunk = pattern(CHUNK)
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode())
    started = time.monotonic()
    for sent in range(0, size, CHUNK):
        await asyncio.sleep(max(0.0, started + seconds * sent / size - time.monotonic()))
        writer.write(chunk)
        await writer.drain()


def read_knobs() -> set[str]:
    try:
        lines = [line.split() for line in KNOBS.read_text().splitlines()]
    except OSError:
        return set()
    here = os.environ.get("CU_HOST", "")
    return {words[2] for words in lines if len(words) == 3 and words[0] in ("*", VERSION) and words[1] in ("*", here)}


asyncio.run(App().serve(int(os.environ.get("CU_PORT", "8080"))))
