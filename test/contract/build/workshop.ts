import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildImage } from '../../../src/build/build.ts';
import { inputDigest, type InputOptions } from '../../../src/build/inputs.ts';
import type { BuildOptions } from '../../../src/build/job.ts';
import { readRuntime } from '../../../src/build/runtime.ts';
import type { BuildSource } from '../../../src/core/state.ts';
import type { Host } from '../../../src/transport/host.ts';
import { attachTestbed } from '../../support/hosts.ts';
import { hostAt } from '../ship/engines.ts';
import { makeRuntime, type Project } from './project.ts';

/** The testbed's engine and all that a build on it needs; what was built is gone when disposed of. */
export interface Workshop extends AsyncDisposable {
  readonly host: Host;
  /** What stands for the Python runtime of cu. */
  readonly runtime: Project;
  readonly inputOptions: InputOptions;
  readonly build: (source: BuildSource, options?: { readonly path?: string } & Partial<BuildOptions>) => Promise<Built>;
}

interface Built {
  readonly imageId: string;
  readonly builder: string;
  readonly output: readonly string[];
}

// The classic builder is what is left when there is no client; /usr/bin holds the 20.10 one, which speaks BuildKit.
export const BUILDERS = { classic: '/nonexistent', 'docker-buildkit': '/usr/bin' } as const;

export async function openWorkshop(): Promise<Workshop> {
  const socket = (await attachTestbed()).engineSocket;
  const host = await hostAt('local', socket);
  const cacheDir = await mkdtemp(path.join(tmpdir(), 'cu-cache-'));
  const runtime = await makeRuntime();
  const inputOptions = { cacheDir, readRuntime: () => readRuntime(runtime.root), now: Date.now };
  const built = new Set<string>();
  return {
    host,
    runtime,
    inputOptions,
    async build(source, { path: clients = BUILDERS.classic, ...more } = {}) {
      const output: string[] = [];
      const inputs = await inputDigest(source, inputOptions);
      const result = await buildImage({
        source,
        host,
        engine: { type: 'unix', path: socket },
        inputs,
        version: `t${inputs.digest.slice(0, 8)}`,
        project: 'cu-test',
        registries: [],
        pull: false,
        noCache: false,
        env: { PATH: clients, HOME: '/nonexistent', FROM_OUTSIDE: 'outside' },
        cacheDir,
        now: Date.now,
        onOutput: (line) => output.push(line),
        ...more,
      });
      built.add(result.imageId);
      return { ...result, output };
    },
    async [Symbol.asyncDispose]() {
      const query = { force: true };
      for (const imageId of built)
        await host.docker().json({ method: 'DELETE', path: `/images/${imageId}`, query, allow: [404, 409] });
      await host[Symbol.asyncDispose]();
      await rm(cacheDir, { recursive: true, force: true });
      await runtime[Symbol.asyncDispose]();
    },
  };
}

export const FILES = {
  Dockerfile: 'FROM scratch\nCOPY . /ctx/\n',
  'README.md': '',
  'docs/a.md': '',
  'docs/keep/b.md': '',
  'docs/keep/deep/c.txt': '',
  'src/main.py': '',
  'src/main.pyc': '',
  'src/pkg/__pycache__/x.pyc': '',
  'src/pkg/mod.py': '',
  'node_modules/m/index.js': '',
  '.env': '',
  'a b/c d.txt': '',
  'ünï/cödé.txt': '',
  '[x].txt': '',
  'build.log': '',
  'logs/build.log': '',
} as const;

export const IGNORE_FILES: readonly (readonly [name: string, text: string])[] = [
  ['nothing', ''],
  ['names and folders', 'node_modules\n.env\n/docs/\n'],
  ['any depth', '**/*.pyc\n**/__pycache__\n*.log\n'],
  ['folders taken back', 'docs\n!docs/keep\n'],
  ['all but', '*\n!src\n!README.md\nsrc/**/*.pyc\n'],
  ['wild exceptions', '**/*.md\n!README.md\n!docs/keep/*.md\n'],
  ['comments, blanks and odd names', '# README.md\n\n  a b/c d.txt  \n\\[x\\].txt\nünï\n'],
  ['the build files themselves', 'Dockerfile\n.dockerignore\nsrc\n'],
  ['a later line wins', '!src/main.py\nsrc/main.py\n!src/main.pyc\n'],
  ['one character', 'src/main.py?\n[.]env\n'],
];
