import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';

const PAYLOAD_BYTES = 512 * 1024;

/** A loop that ends at once when it is asked to, so that what is measured is cu and not the application. */
const LOOP = ['sh', '-c', "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"];

/** Writes the application that is deployed: redis, a worker on each of three hosts, one more container. */
export async function writeApp(folder: string, hosts: Readonly<Record<string, object>>): Promise<void> {
  const names = Object.keys(hosts);
  const first = names.slice(0, 1);
  const config = {
    project: 'bench',
    environments: { dev: {} },
    hosts,
    images: {
      app: { repository: 'bench', build: { context: 'app' } },
      redis: { ref: 'redis:8' },
    },
    storage: 'none',
    services: {
      broker: { kind: 'redis', image: 'redis', on: first, ports: ['*:6399:6379'] },
      worker: { kind: 'worker', image: 'app', command: LOOP, health: { type: 'none' }, on: names },
      tiles: { kind: 'container', image: 'app', command: LOOP, health: { type: 'none' }, on: first },
    },
  };
  await mkdir(join(folder, 'app'), { recursive: true });
  await writeFile(join(folder, 'cu.config.yaml'), stringify(config, { aliasDuplicateObjects: false }));
  await writeFile(join(folder, 'app', 'Dockerfile'), 'FROM debian:trixie-slim\nCOPY payload /payload\n');
  await writeNewVersion(folder);
}

/** Another version: one layer of half a megabyte that does not compress. */
export async function writeNewVersion(folder: string): Promise<void> {
  await writeFile(join(folder, 'app', 'payload'), randomBytes(PAYLOAD_BYTES));
}
