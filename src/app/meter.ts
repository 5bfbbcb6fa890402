import type { Docker } from '../transport/docker.ts';
import type { Host } from '../transport/host.ts';

export interface Usage {
  readonly calls: number;
  readonly commands: number;
  /** Times that the wire went from idle to busy: calls that go out together count once, as they wait together. */
  readonly roundTrips: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

export interface Meter {
  readonly host: Host;
  usage(): Usage;
}

/** Counts what a host is asked, for `npm run bench` and `-v`; changes nothing of it. */
export function meter(host: Host): Meter {
  let commands = 0;
  let roundTrips = 0;
  let busy = 0;
  const count = async <T>(call: () => Promise<T>): Promise<T> => {
    if (busy === 0) roundTrips += 1;
    busy += 1;
    try {
      return await call();
    } finally {
      busy -= 1;
    }
  };
  const engine = host.docker();
  const docker: Docker = {
    json: (request) => count(() => engine.json(request)),
    stream: (request) => count(() => engine.stream(request)),
    hijack: (request) => count(() => engine.hijack(request)),
    usage: engine.usage,
  };
  return {
    host: {
      name: host.name,
      description: host.description,
      run: (argv, options) => {
        commands += 1;
        return count(() => host.run(argv, options));
      },
      converse: (argv, signal) => {
        commands += 1;
        return count(() => host.converse(argv, signal));
      },
      dial: (target, signal) => host.dial(target, signal),
      listen: (onConnection) => host.listen(onConnection),
      docker: () => docker,
      [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
    },
    usage: () => ({ ...engine.usage, commands, roundTrips }),
  };
}
