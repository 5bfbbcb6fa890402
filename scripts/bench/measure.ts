import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

export interface Finished {
  readonly ms: number;
  readonly stdout: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a command to its end, timed from outside; a failure ends the benchmark. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const [file = '', ...args] = argv;
  const startedAt = performance.now();
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
    const timer = setTimeout(() => child.kill('SIGKILL'), 300_000);
    child.once('close', () => clearTimeout(timer));
  });
  const ms = performance.now() - startedAt;
  if (code !== 0) throw new Error(`${argv.join(' ')} exited ${code}\n${stdout.slice(-2000)}\n${stderr.slice(-4000)}`);
  return { ms, stdout };
}

/** Like `run`, for a program in node: how much memory it took at most, as the kernel counted it. */
export async function peakMegabytes(argv: readonly string[], options: RunOptions = {}): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'cu-bench-peak-'));
  try {
    const file = join(folder, 'peak');
    const hook = `import { appendFileSync } from 'node:fs'; process.on('exit', () => appendFileSync(${JSON.stringify(file)}, process.resourceUsage().maxRSS + '\\n'));`;
    const env = {
      ...(options.env ?? process.env),
      NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(hook)}`,
    };
    await run(argv, { ...options, env });
    const peaks = (await readFile(file, 'utf8')).trim().split('\n').map(Number);
    return Math.max(...peaks) / 1024;
  } finally {
    await rm(folder, { recursive: true });
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  return ((sorted[Math.floor((sorted.length - 1) / 2)] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}
