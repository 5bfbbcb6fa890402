import { CuError } from '../core/error.ts';
import type { Described } from './errors.ts';
import type { Host } from './host.ts';

export const DEFAULT_SOCKET = '/var/run/docker.sock';

export interface SocketState {
  /** `open`: there, and the user may use it; `unknown`: the host's shell could not tell. */
  readonly type: 'missing' | 'denied' | 'open' | 'unknown';
  readonly user: string;
}

const SCRIPT = `if [ ! -e "$1" ]; then echo missing; elif [ -r "$1" ] && [ -w "$1" ]; then echo open; else echo denied; fi; id -un`;

/** sshd says `open failed` whether the socket is missing, shut or forbidden: the host's shell knows more. */
export async function socketState(run: Host['run'], path: string): Promise<SocketState> {
  const result = await run(['sh', '-c', SCRIPT, 'sh', path], { timeoutMs: 10_000 }).catch(() => undefined);
  const [said, user = 'the user'] = result?.stdout.trim().split('\n') ?? [];
  return { type: said === 'missing' || said === 'denied' || said === 'open' ? said : 'unknown', user };
}

/** Why the engine's socket does not answer. */
export function socketError(
  host: Described,
  path: string,
  { state, cause }: { readonly state: SocketState; readonly cause: unknown },
): CuError {
  switch (state.type) {
    case 'denied':
      return socketDenied(host, path, { user: state.user, cause });
    case 'missing':
      return engineMissing(host, path, cause);
    case 'open':
    case 'unknown':
      return engineSilent(host, path, cause);
  }
}

export function socketDenied(
  host: Described,
  path: string,
  { user, cause }: { readonly user: string; readonly cause: unknown },
): CuError {
  return new CuError('DOCKER_DENIED', `${user} may not use Docker on ${host.description} (${path})`, {
    host: host.name,
    hint: `on the host: sudo usermod -aG docker ${user}, then log in anew`,
    cause,
  });
}

export function engineMissing(host: Described, path: string, cause: unknown): CuError {
  return new CuError('DOCKER_UNAVAILABLE', `no Docker engine on ${host.description}: there is no ${path}`, {
    host: host.name,
    hint: 'install Docker Engine there and start it; a socket elsewhere is named with `dockerSocket`, or DOCKER_HOST for this machine',
    cause,
  });
}

export function engineSilent(host: Described, path: string, cause: unknown): CuError {
  return new CuError('DOCKER_UNAVAILABLE', `the Docker engine on ${host.description} does not answer at ${path}`, {
    host: host.name,
    hint: 'is it running? try `sudo systemctl start docker` there',
    ...(cause instanceof Error ? { detail: cause.message } : {}),
    cause,
  });
}
