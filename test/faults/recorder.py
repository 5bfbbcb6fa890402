"""Passes a unix socket on to the engine's and writes down the first line of each request: `recorder.py SOCKET LOG`."""

import asyncio
import os
import re
import sys

ENGINE = "/run/docker.sock"
REQUEST = re.compile(rb"(?:^|\n)([A-Z]+ /\S* HTTP/1\.1)\r\n")


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: str | None) -> None:
    try:
        while data := await reader.read(65536):
            if log is not None:
                with open(log, "ab") as file:
                    file.writelines(line + b"\n" for line in REQUEST.findall(data))
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except ConnectionError:
        writer.close()


async def main(socket: str, log: str) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(ENGINE)
        await asyncio.gather(pump(reader, engine_writer, log), pump(engine_reader, writer, None))
        writer.close()
        engine_writer.close()

    server = await asyncio.start_unix_server(connected, socket)
    os.chmod(socket, 0o666)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:3]))
