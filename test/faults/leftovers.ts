import { execa } from 'execa';
import { FIRST } from './scene.ts';
import type { Scene } from './scene.ts';

/** Names that a container has only while it is being replaced. */
const TEMPORARY = /-(new|old|draining)(-|$)/;

/** Two engines may need a moment to take away what was told to go. */
const LOCKS_WITHIN_S = 30;

/** What a deploy must not leave behind: containers, networks, tags and locks, each in words. */
export async function leftovers(scene: Scene): Promise<readonly string[]> {
  const { scenario, hosts } = scene;
  const { project } = scenario;
  const label = `label=cu.project=${project}`;
  const found: string[] = [];
  for (const host of hosts) {
    const containers = await scenario.containers(host);
    for (const { name, state } of containers)
      if (TEMPORARY.test(name) || state !== 'running') found.push(`${host}: container ${name} is ${state}`);
    const names = containers.map(({ name }) => name).filter((name) => !TEMPORARY.test(name));
    const expected = expectedContainers(scene, host);
    for (const name of expected) if (!names.includes(name)) found.push(`${host}: no container ${name}`);
    for (const name of names)
      if (name.startsWith(`${project}-dev-`) && !expected.includes(name) && isOfService(name, project))
        found.push(`${host}: container ${name} is nobody's`);
    const networks = await scenario.docker(host, 'network', 'ls', '--filter', label, '--format', '{{.Name}}');
    if (networks.trim() !== `${project}-dev`) found.push(`${host}: networks ${networks.trim().split('\n').join(', ')}`);
    const tags = await scenario.docker(host, 'images', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}');
    for (const line of temporaryTags(tags, project)) found.push(`${host}: tag ${line}`);
    found.push(...(await heldLocks(scene, host)));
  }
  const local = await localDocker(scene, 'images', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}');
  for (const line of temporaryTags(local, project)) found.push(`builder: tag ${line}`);
  const made = await localDocker(scene, 'ps', '-a', '--filter', label, '--format', '{{.Names}}');
  if (made !== '') found.push(`builder: containers ${made.split('\n').join(', ')}`);
  return found;
}

function expectedContainers({ scenario, workers }: Scene, host: string): readonly string[] {
  const services = ['web'];
  if (host === FIRST) services.push('broker');
  if (host === FIRST && workers.length > 0) services.push('api');
  if (workers.includes(host)) services.push('worker');
  return services.map((service) => `${scenario.project}-dev-${service}-1`);
}

/** Others than the services' containers, such as a proxy, are cu's own business. */
function isOfService(name: string, project: string): boolean {
  return ['web', 'broker', 'api', 'worker'].some((service) => name.startsWith(`${project}-dev-${service}-`));
}

/** Of this project alone: others may use the same engines at the same time. */
function temporaryTags(images: string, project: string): readonly string[] {
  const lines = images.split('\n');
  const own = new Set(lines.filter((line) => line.startsWith(`${project}-`)).map((line) => line.split(' ')[1]));
  return lines.filter((line) => /^(127\.0\.0\.1:|cu-load:)/.test(line) && own.has(line.split(' ')[1]));
}

/** A lock is a flock on a file that may stay: it must be free for the next one. */
async function heldLocks({ scenario }: Scene, host: string): Promise<readonly string[]> {
  const script = `for file in /run/lock/cu-*.lock /tmp/cu-*.lock; do [ -e "$file" ] || continue; flock -w ${LOCKS_WITHIN_S} "$file" true || echo "$file"; done`;
  const { stdout } = await scenario.testbed.exec(host, ['sh', '-c', script]);
  return stdout
    .split('\n')
    .filter((file) => file !== '')
    .map((file) => `${host}: lock ${file} is held`);
}

async function localDocker({ scenario }: Scene, ...argv: readonly string[]): Promise<string> {
  return (await execa('docker', ['-H', `unix://${scenario.testbed.engineSocket}`, ...argv])).stdout;
}
