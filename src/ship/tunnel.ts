import type { Duplex } from 'node:stream';
import type { Host } from '../transport/host.ts';
import type { Receiver } from './receiver.ts';

/** A port on the host's loopback that leads to our receiver. */
export async function openTunnel(
  host: Host,
  receiver: Receiver,
  onSent?: (bytes: number) => void,
): Promise<AsyncDisposable & { readonly port: number }> {
  const open = new Set<Duplex>();
  const listener = await host.listen((connection) => {
    open.add(connection);
    connection.once('close', () => open.delete(connection));
    receiver.accept(connection, onSent);
  });
  return {
    port: listener.port,
    async [Symbol.asyncDispose]() {
      // The engine keeps its connections for the next request, which will not come.
      for (const connection of open) connection.destroy();
      await listener[Symbol.asyncDispose]();
    },
  };
}
