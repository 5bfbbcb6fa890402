import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { addresses } from './addresses.ts';
import { docker, dockerLines, tryDocker } from './docker.ts';
import { unmountBelow } from './mounts.ts';
import type { CachePaths } from './paths.ts';
import type { Say } from './say.ts';

const recipes = join(import.meta.dirname, 'recipes');
const caBundle = '/etc/ssl/certs/ca-certificates.crt';
const localCas = '/usr/local/share/ca-certificates';
const buildTimeoutMs = 600_000;

const standIns = [
  { recipe: 'busybox', image: 'busybox:latest' },
  { recipe: 'redis', image: 'redis:8' },
  { recipe: 'python', image: 'python:3.13-slim' },
  { recipe: 'haproxy', image: 'haproxy:lts' },
] as const;

/** The image of a test host, made once for each version of its recipe; returns its name. */
export async function ensureHostImage(cache: CachePaths, say: Say): Promise<string> {
  const image = `cu-tb-host:${stampOf(['host'])}`;
  if (await exists(image)) return image;
  say('making the image of the test hosts (once, about 2 minutes)');
  const base = `cu-tb-base:bookworm-${stampOf([])}`;
  await ensureDebian('bookworm', base, cache);
  await build('host', image, ['--build-arg', `BASE=${base}`]);
  await dropOtherTags('cu-tb-host', image);
  return image;
}

/** Whether the registry's folder holds stand-ins of another version of the recipes, or none. */
export function standInsAreStale(cache: CachePaths): boolean {
  return !existsSync(cache.registryStamp) || readFileSync(cache.registryStamp, 'utf8') !== standInStamp();
}

export function forgetStandIns(cache: CachePaths): void {
  rmSync(cache.registryStamp, { force: true });
  rmSync(cache.registryData, { recursive: true, force: true });
}

/** Builds images under the names that Docker Hub gives the real ones and pushes them to the testbed's registry. */
export async function makeStandIns(cache: CachePaths, say: Say): Promise<void> {
  say('making stand-ins for Docker Hub, which does not answer (once, about 3 minutes)');
  await ensureDebian('trixie', 'debian:trixie-slim', cache);
  await push('debian:trixie-slim');
  for (const { recipe, image } of standIns) {
    say(`  ${image}`);
    await build(recipe, image, []);
    await push(image);
  }
  writeFileSync(cache.registryStamp, standInStamp());
}

async function ensureDebian(suite: string, image: string, cache: CachePaths): Promise<void> {
  const stamp = stampOf([]);
  const cached = `cu-tb-base:${suite}-${stamp}`;
  if (!(await exists(cached))) await importDebian(suite, cached, cache);
  if (image !== cached) await docker(['tag', cached, image]);
}

async function importDebian(suite: string, image: string, cache: CachePaths): Promise<void> {
  await removeOldRoots(cache);
  // A folder of its own: a debootstrap that outlived a killed run may still be writing to the last one.
  const root = mkdtempSync(join(cache.root, `root-${suite}-`));
  chmodSync(root, 0o755);
  const archive = `${root}.tar`;
  const packages = join(cache.packages, suite);
  mkdirSync(packages, { recursive: true });
  await execa(
    'debootstrap',
    [
      '--variant=minbase',
      '--include=ca-certificates',
      `--cache-dir=${packages}`,
      suite,
      root,
      'http://deb.debian.org/debian',
    ],
    {
      timeout: buildTimeoutMs,
      stdin: 'ignore',
    },
  );
  trustThisMachinesCas(root);
  for (const waste of [
    'var/cache/apt/archives',
    'var/lib/apt/lists',
    'usr/share/doc',
    'usr/share/man',
    'usr/share/locale',
  ]) {
    rmSync(join(root, waste), { recursive: true, force: true });
  }
  // No services in images, and no installed documents later either; apt makes its own folders again.
  writeFileSync(join(root, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  writeFileSync(
    join(root, 'etc/apt/apt.conf.d/90testbed'),
    'APT::Install-Recommends "false";\nAcquire::Languages "none";\n',
  );
  await execa('tar', ['-C', root, '-cf', archive, '.'], { timeout: buildTimeoutMs });
  await docker(['import', '--change', 'CMD ["bash"]', archive, image], { timeoutMs: buildTimeoutMs });
  await removeOldRoots(cache);
}

/** Also those of runs that were killed: debootstrap leaves its mounts behind then. */
async function removeOldRoots(cache: CachePaths): Promise<void> {
  for (const name of readdirSync(cache.root).filter((entry) => entry.startsWith('root-'))) {
    const leftover = join(cache.root, name);
    await unmountBelow(leftover);
    await execa('rm', ['-rf', '--one-file-system', leftover], { reject: false });
  }
}

/** A build inside the images reaches what this machine reaches, also where a proxy with a CA of its own stands between. */
function trustThisMachinesCas(root: string): void {
  if (existsSync(caBundle)) writeFileSync(join(root, caBundle), readFileSync(caBundle));
  if (!existsSync(localCas)) return;
  const names = readdirSync(localCas).filter((name) => name.endsWith('.crt'));
  mkdirSync(join(root, localCas), { recursive: true });
  for (const name of names) writeFileSync(join(root, localCas, name), readFileSync(join(localCas, name)));
}

async function build(recipe: string, image: string, options: readonly string[]): Promise<void> {
  await docker(['build', '-q', '--force-rm', '-t', image, ...options, join(recipes, recipe)], {
    timeoutMs: buildTimeoutMs,
  });
}

async function push(image: string): Promise<void> {
  const remote = `${addresses.engineAddress}:${addresses.registryPort}/library/${image}`;
  await docker(['tag', image, remote]);
  await docker(['push', '-q', remote], { timeoutMs: buildTimeoutMs });
  await docker(['rmi', remote]);
}

async function exists(image: string): Promise<boolean> {
  return (await tryDocker(['image', 'inspect', image])).exitCode === 0;
}

async function dropOtherTags(repository: string, keep: string): Promise<void> {
  const tags = await dockerLines(['image', 'ls', '--format', '{{.Repository}}:{{.Tag}}', repository]);
  for (const tag of tags) if (tag !== keep) await tryDocker(['rmi', tag]);
}

function standInStamp(): string {
  return stampOf(standIns.map(({ recipe }) => recipe));
}

/** Names a version of these recipes, of the code that builds them and of the CAs copied into them. */
function stampOf(names: readonly string[]): string {
  const files = names.flatMap((name) =>
    readdirSync(join(recipes, name))
      .sort()
      .map((file) => join(recipes, name, file)),
  );
  const cas = existsSync(localCas)
    ? readdirSync(localCas)
        .sort()
        .map((file) => join(localCas, file))
    : [];
  const hash = createHash('sha256').update('1');
  for (const file of [...files, caBundle, ...cas])
    if (existsSync(file)) hash.update(file.slice(recipes.length)).update(readFileSync(file));
  return hash.digest('hex').slice(0, 12);
}
