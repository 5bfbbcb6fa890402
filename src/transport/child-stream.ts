import type { ChildProcess } from 'node:child_process';
import { Duplex } from 'node:stream';
import type { Readable, Writable } from 'node:stream';

/** A process of this machine that is written to and read from. */
type Conversing = ChildProcess & { readonly stdin: Writable; readonly stdout: Readable };

/**
 * A command's stdin and stdout as one stream; `end` is called when the stream is destroyed. What the command said before
 * it ended is kept until somebody reads it, however late: a stream of `Duplex.from` is closed with its unread words as
 * soon as the command is gone.
 */
export function childStream(child: Conversing, end: () => void): Duplex {
  const { stdin, stdout } = child;
  const stream = new Duplex({
    read: () => void stdout.resume(),
    // What is written to one that has ended reaches nobody; that it has ended is told by the end of what it says.
    write: (chunk, _encoding, done) => void stdin.write(chunk, () => done()),
    final: (done) => void stdin.end(() => done()),
    destroy: (error, done) => {
      end();
      done(error);
    },
  });
  stream.on('error', () => undefined);
  stdin.on('error', () => undefined);
  stdout.on('data', (chunk: Uint8Array) => {
    if (!stream.destroyed && !stream.push(chunk)) stdout.pause();
  });
  stdout.once('end', () => {
    if (!stream.destroyed) stream.push(null);
  });
  // Closed once it is gone and all of it was read.
  let waitsFor = 2;
  const close = (): void => {
    waitsFor -= 1;
    if (waitsFor === 0) stream.destroy();
  };
  child.once('close', close);
  stream.once('end', close);
  child.once('error', () => stream.destroy());
  return stream;
}
