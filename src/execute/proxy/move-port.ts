import type { ContainerSpec } from '../../core/container.ts';
import { CuError } from '../../core/error.ts';
import type { ProxyPart } from '../../core/proxy.ts';
import { readParts } from '../../observe/proxy.ts';
import { bindingsOf, hostConfigOf } from '../../plan/body.ts';
import { FIRST_PORT, PORTS } from '../../plan/proxy/routes.ts';
import { keyOf, withMoved } from './moved-ports.ts';
import { writeSwitch } from './routes.ts';
import type { Switching } from './switch.ts';

/** What the engine says of a port that another process, a container, or its own memory of one still holds. */
const HELD = /127\.0\.0\.1:(\d+)\b.*(?:port is already allocated|address already in use)/;

/** The port of the loopback that a container could not get; undefined when that is not what went wrong. */
export function heldPort(error: unknown): number | undefined {
  const found = error instanceof CuError ? HELD.exec(error.message) : null;
  return found === null ? undefined : Number(found[1]);
}

/**
 * The same container with another port of the loopback, where the proxy looks for it from now on. An engine that was
 * killed while it started a container may take the port for held until it is restarted once more: no deploy may hang on
 * that. undefined: the port is none of its places.
 */
export async function movePort(at: Switching, spec: ContainerSpec, held: number): Promise<ContainerSpec | undefined> {
  const containerPort = containerPortOf(spec, held);
  if (containerPort === undefined) return undefined;
  const { host, signal, place } = at;
  const parts = await readParts(host.docker(), signal);
  const port = freePort(parts, held);
  at.moved.set(keyOf(at.owner, place, containerPort), port);
  await writeSwitch(at, at.owner, (part) => withMoved(part, at.moved));
  return { ...spec, body: withPort(spec.body, containerPort, port) };
}

function containerPortOf(spec: ContainerSpec, port: number): number | undefined {
  const found = Object.entries(bindingsOf(spec.body)).find(([, to]) => JSON.stringify(to).includes(`"${port}"`));
  return found === undefined ? undefined : Number.parseInt(found[0]);
}

function withPort(body: ContainerSpec['body'], containerPort: number, port: number): ContainerSpec['body'] {
  const PortBindings = {
    ...bindingsOf(body),
    [`${containerPort}/tcp`]: [{ HostIp: '127.0.0.1', HostPort: `${port}` }],
  };
  return { ...body, HostConfig: { ...hostConfigOf(body), PortBindings } };
}

/** Whether it is free shows when the engine is asked for it: the caller tries again. */
function freePort(parts: readonly ProxyPart[], held: number): number {
  const used = new Set(
    parts.flatMap(({ routes }) => routes.flatMap(({ servers }) => servers.flatMap(({ ports }) => [ports.a, ports.b]))),
  );
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    if (port !== held && !used.has(port)) return port;
  }
}
