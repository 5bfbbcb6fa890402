import { expect, test } from 'vitest';
import { readEvents } from '../../../src/transport/server-sent-events.ts';

async function* inPieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

async function read(text: string, size = text.length): Promise<readonly string[]> {
  const events: string[] = [];
  for await (const { event, data } of readEvents(inPieces(text, size))) events.push(`${event}: ${data}`);
  return events;
}

const STREAM =
  'retry: 1000\n\nevent: state\nid: 1\ndata: {"state":"running"}\n\n: still here\n\nevent:progress\ndata:größer\ndata: als\n\n';

test.each([1, 2, 7, 1000])('events are the same in pieces of %i bytes', async (size) => {
  const events = await read(STREAM, size);

  expect(events).toEqual(['state: {"state":"running"}', 'progress: größer\nals']);
});

test.each(['\r\n', '\r'])('lines may end with %j', async (end) => {
  const events = await read(`${STREAM.replaceAll('\n', end)}data: more${end}${end}: a comment${end}`, 3);

  expect(events).toEqual(['state: {"state":"running"}', 'progress: größer\nals', 'message: more']);
});

test('an event that the end of the stream cuts short is none', async () => {
  const events = await read('event: state\ndata: {"state":');

  expect(events).toEqual([]);
});

test('the name of an event is not that of the next one', async () => {
  const events = await read('event: log\n\ndata: x\n\n');

  expect(events).toEqual(['message: x']);
});
