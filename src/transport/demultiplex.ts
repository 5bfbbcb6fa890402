export interface LogChunk {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Buffer;
}

/**
 * Splits the engine's multiplexed output: a header of 8 bytes (stream 1 or 2, three zeros, length as a big-endian
 * 32-bit number), then the bytes (Docker API, "ContainerAttach, stream format"). A TTY's output has no headers.
 */
export async function* demultiplex(body: AsyncIterable<unknown>, hasTty = false): AsyncGenerator<LogChunk> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of body) {
    if (!(chunk instanceof Uint8Array)) continue;
    if (hasTty) {
      yield { stream: 'stdout', data: Buffer.from(chunk) };
      continue;
    }
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    while (rest.length >= 8) {
      const length = rest.readUInt32BE(4);
      if (rest.length < 8 + length) break;
      yield { stream: rest[0] === 2 ? 'stderr' : 'stdout', data: rest.subarray(8, 8 + length) };
      rest = rest.subarray(8 + length);
    }
  }
}
