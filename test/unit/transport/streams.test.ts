import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { demultiplex } from '../../../src/transport/demultiplex.ts';
import { createSemaphore } from '../../../src/transport/semaphore.ts';

const frame = (stream: number, text: string): Buffer => {
  const data = Buffer.from(text);
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(data.length, 4);
  return Buffer.concat([header, data]);
};

async function* cut(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (const size of sizes) {
    yield bytes.subarray(at, at + size);
    at += size;
  }
  yield bytes.subarray(at);
}

test('frames come out the same however the stream is cut', async () => {
  const part = fc.tuple(fc.constantFrom(1, 2), fc.string());
  const property = fc.asyncProperty(fc.array(part), fc.array(fc.nat(12)), async (parts, sizes) => {
    const bytes = Buffer.concat(parts.map(([stream, text]) => frame(stream, text)));

    const found = [];
    for await (const { stream, data } of demultiplex(cut(bytes, sizes))) found.push([stream, data.toString()]);

    expect(found).toEqual(parts.map(([stream, text]) => [stream === 2 ? 'stderr' : 'stdout', text]));
  });

  await fc.assert(property);
});

test('a terminal’s output has no frames', async () => {
  const found = [];
  for await (const { stream, data } of demultiplex(cut(Buffer.from('plain'), [2]), true))
    found.push(`${stream} ${data.toString()}`);

  expect(found).toEqual(['stdout pl', 'stdout ain']);
});

test('no more than the size at once, the rest in line', async () => {
  const places = createSemaphore(2);
  const order: number[] = [];
  let most = 0;
  let now = 0;
  const work = async (id: number): Promise<void> => {
    const release = await places.acquire();
    now += 1;
    most = Math.max(most, now);
    order.push(id);
    await Promise.resolve();
    now -= 1;
    release();
    release();
  };

  await Promise.all([1, 2, 3, 4, 5].map(work));

  expect(most).toBe(2);
  expect(order).toEqual([1, 2, 3, 4, 5]);
});

test('who gives up waiting takes no place', async () => {
  const places = createSemaphore(1);
  const release = await places.acquire();
  const controller = new AbortController();
  const given = places.acquire(controller.signal);
  const later = places.acquire();

  controller.abort(new Error('enough'));
  release();

  await expect(given).rejects.toThrow('enough');
  await expect(later).resolves.toBeTypeOf('function');
});
