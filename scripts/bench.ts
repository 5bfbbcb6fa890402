import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { benchRuntime } from './bench/runtime.ts';
import { writeApp, writeNewVersion } from './bench/app.ts';
import { median, peakMegabytes, run, type Finished, type RunOptions } from './bench/measure.ts';
import { hasFailed, rowsTable, usageTable, type HostUsage, type Row } from './bench/report.ts';
import { openFleet, type Fleet } from './bench/fleet.ts';

const root = resolve(import.meta.dirname, '..');
const bin = join(root, 'bin', 'cu.js');

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '7' },
    versions: { type: 'string', default: '5' },
    write: { type: 'boolean', default: false },
  },
});

interface Times {
  readonly ssh: number[];
  readonly node: number[];
  readonly help: number[];
  readonly same: number[];
  readonly version: number[];
}

interface Measured {
  readonly times: Times;
  readonly firstMs: number;
  readonly peakSame: number;
  readonly peakVersion: number;
  readonly usages: readonly HostUsage[];
}

await (positionals[0] === 'runtime' ? runtimeOnly() : main());

async function runtimeOnly(): Promise<void> {
  const rows = await benchRuntime(root);
  const text = `${rowsTable(rows)}\n`;
  console.log(`\n${text}`);
  if (flags.write) await writeResults('runtime results', `${machine()}\n\n${text}`);
  process.exitCode = rows.some(hasFailed) ? 1 : 0;
}

async function main(): Promise<void> {
  await using fleet = await openFleet();
  const folder = await mkdtemp(join(tmpdir(), 'cu-bench-'));
  const inFolder: RunOptions = { cwd: folder, env: { ...process.env, ...fleet.env, CI: 'true' } };
  try {
    await writeApp(folder, fleet.hosts);
    const measured = await measure(folder, fleet, inFolder);
    const rows = toRows(measured);
    const text = `${rowsTable(rows)}\n\n${usageTable(measured.usages)}\n`;
    console.log(`\n${text}`);
    if (flags.write) await writeResults('results', `${about(measured)}\n\n${text}`);
    process.exitCode = rows.some(hasFailed) ? 1 : 0;
  } finally {
    await run([process.execPath, bin, 'remove', '--volumes', '--yes'], inFolder).catch((error: unknown) =>
      console.error(error),
    );
    await rm(folder, { recursive: true });
  }
}

/** Everything in one run and in turns, so that a machine that is busy for a while slows all of it alike. */
async function measure(folder: string, fleet: Fleet, inFolder: RunOptions): Promise<Measured> {
  const deploy = [process.execPath, bin, 'deploy', '--json'];
  const times: Times = { ssh: [], node: [], help: [], same: [], version: [] };
  console.error('first deploy');
  const first = await run(deploy, inFolder);
  let same: Finished | undefined;
  for (let round = 1; round <= Number(flags.rounds); round += 1) {
    console.error(`round ${round} of ${flags.rounds}: ssh, node, help, the same version`);
    times.ssh.push((await run(fleet.sshTrue)).ms);
    times.node.push((await run([process.execPath, '-e', '0'])).ms);
    times.help.push((await run([process.execPath, bin, '--help'])).ms);
    same = await run(deploy, inFolder);
    if (countSteps(same) > 0) throw new Error(`a deploy of the same version had something to do:\n${same.stdout}`);
    times.same.push(same.ms);
  }
  let version: Finished | undefined;
  for (let round = 1; round <= Number(flags.versions); round += 1) {
    console.error(`round ${round} of ${flags.versions}: ssh, node, a new version`);
    times.ssh.push((await run(fleet.sshTrue)).ms);
    times.node.push((await run([process.execPath, '-e', '0'])).ms);
    await writeNewVersion(folder);
    version = await run(deploy, inFolder);
    if (countSteps(version) === 0) throw new Error(`a deploy of a new version did nothing:\n${version.stdout}`);
    times.version.push(version.ms);
  }
  console.error('peak memory');
  const peakSame = await peakMegabytes(deploy, inFolder);
  await writeNewVersion(folder);
  const peakVersion = await peakMegabytes(deploy, inFolder);
  const usages = [
    ...readUsage('first deploy', first),
    ...readUsage('new version', version),
    ...readUsage('same version', same),
  ];
  return { times, firstMs: first.ms, peakSame, peakVersion, usages };
}

/** The steps of the plan that `cu deploy --json` printed. */
function countSteps(finished: Finished): number {
  const lines = finished.stdout.trim().split('\n');
  const plans = lines
    .map((line) => JSON.parse(line) as { readonly type?: string; readonly steps?: readonly object[] })
    .filter((line) => line.type === 'plan');
  return plans.flatMap((plan) => plan.steps ?? []).length;
}

/** The last line of `cu deploy --json` is its result. */
function readUsage(command: string, finished: Finished | undefined): readonly HostUsage[] {
  const last = finished?.stdout.trim().split('\n').at(-1) ?? '{}';
  const result = JSON.parse(last) as { readonly usage?: Readonly<Record<string, Omit<HostUsage, 'command' | 'host'>>> };
  return Object.entries(result.usage ?? {}).map(([host, usage]) => ({ command, host, ...usage }));
}

function toRows({ times, firstMs, peakSame, peakVersion, usages }: Measured): readonly Row[] {
  const base = median(times.ssh) + median(times.node);
  const sameTrips = usages.filter((usage) => usage.command === 'same version').map((usage) => usage.roundTrips);
  return [
    { name: 'ssh HOST true', value: median(times.ssh), unit: 'ms' },
    { name: 'node -e 0', value: median(times.node), unit: 'ms' },
    { name: 'the two together: the base of the deploys', value: base, unit: 'ms' },
    {
      name: 'cu --help',
      value: median(times.help),
      unit: 'ms',
      base: median(times.node),
      limit: { at: 2, of: 'x node -e 0' },
    },
    { name: 'cu deploy, nothing to do', value: median(times.same), unit: 'ms', base, limit: { at: 3, of: 'x base' } },
    {
      name: 'cu deploy, nothing to do',
      value: sameTrips.length === 0 ? NaN : Math.max(...sameTrips),
      unit: 'round trips',
      limit: { at: 3, of: 'a host' },
    },
    { name: 'cu deploy, nothing to do', value: peakSame, unit: 'MB', limit: { at: 150, of: 'MB' } },
    {
      name: 'cu deploy, new layer of 0.5 MB',
      value: median(times.version),
      unit: 'ms',
      base,
      limit: { at: 7, of: 'x base' },
    },
    { name: 'cu deploy, new layer of 0.5 MB', value: peakVersion, unit: 'MB', limit: { at: 150, of: 'MB' } },
    { name: 'cu deploy, the first one', value: firstMs, unit: 'ms', base },
  ];
}

/** Replaces what stands between the two marks in docs/benchmarks.md. */
/** Puts a text between the marks of docs/benchmarks.md. */
async function writeResults(mark: string, text: string): Promise<void> {
  const file = join(root, 'docs', 'benchmarks.md');
  const document = await readFile(file, 'utf8');
  const [before, after] = [document.split(`<!-- ${mark} -->`)[0], document.split(`<!-- end of ${mark} -->`)[1]];
  if (before === undefined || after === undefined) throw new Error(`${file} has no marks between which results go`);
  await writeFile(file, `${before}<!-- ${mark} -->\n${text}<!-- end of ${mark} -->${after}`);
}

function machine(): string {
  return `${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), Node.js ${process.version}.`;
}

function about({ times }: Measured): string {
  return `${machine()} Three hosts on it. Medians of ${times.same.length} (same version) and ${times.version.length} (new version).`;
}
