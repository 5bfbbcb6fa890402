import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { CuError } from '../../../src/core/error.ts';
import { createJsonRenderer } from '../../../src/render/json.ts';
import { createPlainRenderer } from '../../../src/render/plain.ts';
import { createQuietRenderer } from '../../../src/render/quiet.ts';
import { plainTheme } from '../../../src/render/theme.ts';
import { createTtyRenderer } from '../../../src/render/tty.ts';
import { build, plan, remove, replace, start } from './nodes.ts';

let written: string;
const write = (text: string): void => void (written += text);
const now = (): number => Date.now();

beforeEach(() => {
  written = '';
  vi.useFakeTimers({ now: 0 });
});

afterEach(() => void vi.useRealTimers());

test('plain: one line for each change of state, none for progress', () => {
  const renderer = createPlainRenderer({ write, theme: plainTheme, verbose: false, now });

  renderer.on({ type: 'phase', text: 'connecting to 2 hosts' });
  renderer.on({ type: 'step-started', node: build });
  renderer.on({ type: 'step-progress', node: build, text: '10%' });
  renderer.on({ type: 'step-output', node: build, text: 'Step 1/9\n' });
  renderer.on({ type: 'step-done', node: build, ms: 12_340, note: undefined });
  renderer.on({ type: 'step-started', node: start });
  renderer.on({ type: 'step-done', node: start, ms: 400, note: 'healthy' });
  renderer.on({ type: 'step-skipped', node: remove, why: 'what it waits for was not done' });
  renderer.on({ type: 'host-unreachable', host: 'web-3', error: new CuError('HOST_UNREACHABLE', 'no answer') });
  renderer.on({ type: 'warning', host: undefined, text: 'the clock of web-1 is late' });
  renderer.on({ type: 'debug', host: 'web-1', text: 'GET /info' });
  renderer.close();

  expect(written.split('\n')).toEqual([
    'connecting to 2 hosts',
    'local app | build app r2.h1 (code changed)',
    'local app | built app r2.h1 (code changed) 12s',
    'web-1 broker | started shop-dev-broker (not found, healthy) 0.4s',
    'web-2 shop-dev-old | skipped remove shop-dev-old: what it waits for was not done',
    'web-3 | unreachable: no answer',
    'warning: the clock of web-1 is late',
    '',
  ]);
});

test('plain: a failed step shows the last lines that it printed', () => {
  const renderer = createPlainRenderer({ write, theme: plainTheme, verbose: false, now });

  renderer.on({ type: 'step-output', node: replace, text: 'one\ntwo\n' });
  renderer.on({ type: 'step-failed', node: replace, ms: 1000, error: new CuError('UNHEALTHY', 'never healthy') });
  renderer.close();

  expect(written).toBe(
    [
      'web-2 worker/big | failed to replace shop-dev-worker-big: never healthy 1.0s',
      'web-2 worker/big | one',
      'web-2 worker/big | two',
      '',
    ].join('\n'),
  );
});

test('plain: how much a drain has left is a line at first, and when another count is left, every ten seconds at most', () => {
  const renderer = createPlainRenderer({ write, theme: plainTheme, verbose: false, now });
  const said = (text: string, left: number | undefined): string => {
    written = '';
    renderer.on({ type: 'step-progress', node: replace, text, left });
    return written;
  };

  expect(said('stopping the old one', undefined)).toBe('');
  expect(said('3 tasks left, oldest 4m', 3)).toBe(
    'web-2 worker/big | replace shop-dev-worker-big: 3 tasks left, oldest 4m\n',
  );
  vi.advanceTimersByTime(9000);
  expect(said('2 tasks left, oldest 4m', 2)).toBe('');
  vi.advanceTimersByTime(1000);
  expect(said('3 tasks left, oldest 5m', 3)).toBe('');
  expect(said('2 tasks left, oldest 5m', 2)).toContain('2 tasks left, oldest 5m');
  renderer.close();
});

test('plain: each drain has its own first line', () => {
  const renderer = createPlainRenderer({ write, theme: plainTheme, verbose: false, now });

  renderer.on({ type: 'step-progress', node: replace, text: '1 task left, oldest 2s', left: 1 });
  renderer.on({ type: 'step-progress', node: remove, text: '1 request left', left: 1 });
  renderer.close();

  expect(written.split('\n')).toEqual([
    'web-2 worker/big | replace shop-dev-worker-big: 1 task left, oldest 2s',
    'web-2 shop-dev-old | remove shop-dev-old: 1 request left',
    '',
  ]);
});

test('plain: with -v every tick is a line, and none is there twice', () => {
  const renderer = createPlainRenderer({ write, theme: plainTheme, verbose: true, now });

  renderer.on({ type: 'step-progress', node: replace, text: '3 tasks left, oldest 8s', left: 3 });
  renderer.on({ type: 'step-progress', node: replace, text: '3 tasks left, oldest 9s', left: 3 });
  renderer.close();

  expect(written.split('\n')).toEqual([
    'web-2 worker/big | 3 tasks left, oldest 8s',
    'web-2 worker/big | 3 tasks left, oldest 9s',
    '',
  ]);
});

test('plain: a heartbeat names what runs when nothing was said for a while', () => {
  const renderer = createPlainRenderer({ write, theme: plainTheme, verbose: false, now });
  renderer.on({ type: 'step-started', node: start });
  written = '';

  vi.advanceTimersByTime(61_000);
  renderer.close();
  vi.advanceTimersByTime(61_000);

  expect(written).toBe(
    'still running: web-1 start shop-dev-broker (30s)\nstill running: web-1 start shop-dev-broker (1m)\n',
  );
});

test('tty: running steps are redrawn in place, at most ten times a second, and done ones stay', () => {
  const renderer = tty({ columns: 60, rows: 20 });
  renderer.on({ type: 'step-started', node: start });
  renderer.on({ type: 'step-started', node: replace });
  for (let percent = 0; percent < 100; percent += 1)
    renderer.on({ type: 'step-progress', node: replace, text: `${percent}%` });
  expect(written).toBe('');

  vi.advanceTimersByTime(100);
  expect(written).toBe('  web-1  start shop-dev-broker  0.1s\n  web-2  replace shop-dev-worker-big  99%  0.1s\n');

  written = '';
  renderer.on({ type: 'step-done', node: start, ms: 150, note: undefined });
  vi.advanceTimersByTime(100);
  expect(written).toBe(
    '\u001B[2A\u001B[Jweb-1 broker | started shop-dev-broker (not found) 0.1s\n  web-2  replace shop-dev-worker-big  99%  0.2s\n',
  );
  renderer.close();
});

test('tty: nothing is drawn while a question is open, and nothing is lost', () => {
  const renderer = tty({ columns: 60, rows: 20 });
  renderer.on({ type: 'step-started', node: start });
  vi.advanceTimersByTime(100);

  renderer.pause();
  written = '';
  renderer.on({ type: 'step-done', node: start, ms: 100, note: undefined });
  vi.advanceTimersByTime(1000);
  expect(written).toBe('');

  renderer.resume();
  vi.advanceTimersByTime(100);
  expect(written).toBe('web-1 broker | started shop-dev-broker (not found) 0.1s\n');
  renderer.close();
});

test('tty: lines never get wider than the terminal, nor more than its rows', () => {
  const renderer = tty({ columns: 40, rows: 4 });
  renderer.on({ type: 'step-started', node: build });
  renderer.on({ type: 'step-started', node: start });
  renderer.on({ type: 'step-started', node: replace });
  renderer.on({ type: 'step-progress', node: build, text: 'x'.repeat(200) });

  vi.advanceTimersByTime(100);
  renderer.close();

  const [first = '', second, third] = written.split('\n');
  expect(first).toHaveLength(39);
  expect(second).toBe('  and 2 more');
  expect(third?.startsWith('\u001B[2A')).toBe(true);
});

test('tty: a phase is a spinner that ends with the next line', () => {
  const spins: string[] = [];
  const renderer = tty({ columns: 60, rows: 20, spins });

  renderer.on({ type: 'phase', text: 'connecting' });
  renderer.on({ type: 'warning', host: undefined, text: 'late' });
  renderer.close();

  expect(spins).toEqual(['start connecting', 'stop']);
  expect(written).toBe('warning: late\n');
});

test('json: one object a line, versioned, without what is inside cu', () => {
  const renderer = createJsonRenderer({ write, verbose: false });

  renderer.on({ type: 'plan-ready', plan: { nodes: [start] } });
  renderer.on({ type: 'step-done', node: start, ms: 400.4, note: undefined });
  renderer.on({
    type: 'step-failed',
    node: replace,
    ms: 1,
    error: new CuError('UNHEALTHY', 'never healthy', { host: 'web-2' }),
  });
  renderer.on({ type: 'debug', host: undefined, text: 'not without --verbose' });

  expect(
    written
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line)),
  ).toEqual([
    {
      v: 1,
      type: 'plan',
      steps: [
        { step: start.id, host: 'web-1', action: 'create-container', cause: 'not found', after: ['web-1/redis/pull'] },
      ],
    },
    { v: 1, type: 'step-done', step: start.id, host: 'web-1', action: 'create-container', ms: 400 },
    {
      v: 1,
      type: 'step-failed',
      step: replace.id,
      host: 'web-2',
      action: 'replace-container',
      ms: 1,
      error: { code: 'UNHEALTHY', exitCode: 4, message: 'never healthy', host: 'web-2' },
    },
  ]);
});

test('json: what a drain has left is progress like any other', () => {
  const renderer = createJsonRenderer({ write, verbose: false });

  renderer.on({ type: 'step-progress', node: replace, text: '3 tasks left, oldest 4m', left: 3 });

  expect(JSON.parse(written)).toEqual({
    v: 1,
    type: 'step-progress',
    step: replace.id,
    host: 'web-2',
    action: 'replace-container',
    text: '3 tasks left, oldest 4m',
  });
});

test('quiet: warnings only', () => {
  const renderer = createQuietRenderer(write, plainTheme);

  renderer.on({ type: 'plan-ready', plan });
  renderer.on({ type: 'step-done', node: start, ms: 1, note: undefined });
  renderer.on({ type: 'warning', host: 'web-1', text: 'late' });

  expect(written).toBe('warning: web-1: late\n');
});

function tty(options: { readonly columns: number; readonly rows: number; readonly spins?: string[] }) {
  return createTtyRenderer({
    target: { write, columns: () => options.columns, rows: () => options.rows },
    theme: plainTheme,
    verbose: false,
    now,
    spin: (text) => {
      options.spins?.push(`start ${text}`);
      return () => void options.spins?.push('stop');
    },
  });
}
