import { homedir } from 'node:os';
import { join } from 'node:path';

/** Run-time files live here and not in the cache: unix socket paths must stay under 104 bytes, and a reboot should clear them. */
const runFolder = '/run/cu-tb';

export const paths = {
  run: runFolder,
  lock: `${runFolder}/lock`,
  state: `${runFolder}/state.json`,
  socket: `${runFolder}/docker.sock`,
  execRoot: `${runFolder}/exec`,
  enginePid: `${runFolder}/docker.pid`,
  engineLog: `${runFolder}/dockerd.log`,
  registryPid: `${runFolder}/registry.pid`,
  registryConfig: `${runFolder}/registry.yml`,
  registryLog: `${runFolder}/registry.log`,
  resolvConf: `${runFolder}/resolv.conf`,
  knownHosts: `${runFolder}/known_hosts`,
} as const;

export interface CachePaths {
  readonly root: string;
  readonly engineData: string;
  readonly registryData: string;
  readonly registryStamp: string;
  readonly packages: string;
  readonly identity: string;
}

/** What is kept between runs: images, the registry's data, downloaded packages and the key. */
export function cachePaths(env: NodeJS.ProcessEnv): CachePaths {
  const root = join(env['CU_TEST_CACHE'] || env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'cu-testbed');
  return {
    root,
    engineData: join(root, 'engine'),
    registryData: join(root, 'registry'),
    registryStamp: join(root, 'registry.stamp'),
    packages: join(root, 'packages'),
    identity: join(root, 'id_ed25519'),
  };
}
