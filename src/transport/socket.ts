import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { onAbort } from './abort.ts';
import type { DialTarget } from './host.ts';

/** Connects from this machine; an error after that ends the stream, and is heard by whoever listens. */
export function connectSocket(target: DialTarget, signal?: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket =
      target.type === 'unix'
        ? connect(target.path)
        : connect({ host: target.address, port: target.port, noDelay: true });
    socket.on('error', reject);
    const off = onAbort(signal, (reason) => socket.destroy(reason));
    socket.once('close', off);
    socket.once('connect', () => {
      off();
      resolve(socket);
    });
  });
}
