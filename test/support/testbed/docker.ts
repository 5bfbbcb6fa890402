import { existsSync } from 'node:fs';
import { execa } from 'execa';
import { paths } from './paths.ts';

export interface DockerResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

export interface DockerOptions {
  readonly timeoutMs?: number;
  readonly inputFile?: string;
}

// The client of docker.io fits the engine of docker.io; another one on PATH may be newer and lack a builder.
const client = existsSync('/usr/bin/docker') ? '/usr/bin/docker' : 'docker';

/** Runs the docker client against the testbed's engine; throws when it fails. */
export async function docker(argv: readonly string[], options: DockerOptions = {}): Promise<string> {
  const result = await tryDocker(argv, options);
  if (result.exitCode !== 0) {
    const words = (result.stderr || result.stdout).split('\n').slice(-20).join('\n');
    throw new Error(`docker ${argv.join(' ')} failed (${result.exitCode}): ${words}`);
  }
  return result.stdout;
}

export async function tryDocker(argv: readonly string[], options: DockerOptions = {}): Promise<DockerResult> {
  const result = await execa(client, ['-H', `unix://${paths.socket}`, ...argv], {
    reject: false,
    timeout: options.timeoutMs ?? 60_000,
    env: { DOCKER_BUILDKIT: '0', DOCKER_CONTEXT: '' },
    ...(options.inputFile === undefined ? { stdin: 'ignore' as const } : { inputFile: options.inputFile }),
  });
  const stderr = result.timedOut
    ? `timed out after ${(options.timeoutMs ?? 60_000) / 1000} s ${result.stderr}`
    : result.stderr;
  return { stdout: result.stdout, stderr, exitCode: result.exitCode ?? 255 };
}

/** One item a line, without empty lines. */
export async function dockerLines(argv: readonly string[]): Promise<readonly string[]> {
  return (await docker(argv)).split('\n').filter((line) => line !== '');
}
