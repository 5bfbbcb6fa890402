import { expect, test } from 'vitest';
import { CuError } from '../../../src/core/error.ts';
import { Secret } from '../../../src/core/secret.ts';
import { clean } from '../../../src/render/clean.ts';
import { duration } from '../../../src/render/duration.ts';
import { outcomeText } from '../../../src/render/outcome-text.ts';
import { purgeText } from '../../../src/render/purge-text.ts';
import { Redactor } from '../../../src/render/redact.ts';
import { statusText, type StatusRow } from '../../../src/render/status-text.ts';
import { table, truncate, width } from '../../../src/render/table.ts';
import { loadTheme, plainTheme } from '../../../src/render/theme.ts';
import { remove, replace, start } from './nodes.ts';

test.each([
  [0, '0.0s'],
  [9949, '9.9s'],
  [9950, '10s'],
  [59_999, '1m'],
  [185_000, '3m 5s'],
  [7_800_000, '2h 10m'],
  [356_400_000, '4d 3h'],
])('%d ms are %s', (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test('wide characters take two cells', () => {
  expect(width('日本')).toBe(4);
  expect(truncate('日本語', 5)).toBe('日本…');
  expect(truncate('short', 5)).toBe('short');
});

test('columns of a table are aligned, with no blanks at the end of a line', () => {
  const text = table(
    [{ title: 'host' }, { title: 'size', align: 'right' }, { title: 'why' }],
    [
      ['web-1', '3.2 MB', 'old'],
      ['日本', '12 B', ''],
    ],
  );

  expect(text.split('\n')).toEqual(['host     size  why', 'web-1  3.2 MB  old', '日本     12 B']);
});

test('clean keeps text, tabs and line ends, and drops what steers a terminal', () => {
  expect(clean('a\tb\r\nc\rd\u001B[1;31me\u001B[0m\u0007\u009B2Jf\u202Eg')).toBe('a\tb\nc\nde2Jfg');
});

test('colour changes nothing but the colour', async () => {
  const theme = await loadTheme(true);

  expect(theme.bad('failed')).toBe('\u001B[31mfailed\u001B[39m');
  expect(clean(theme.name('web-1'))).toBe('web-1');
  expect(theme.name('web-1')).toBe(theme.name('web-1'));
});

test('secrets are hidden wherever they turn up, also as JSON, each line of a long one', () => {
  const redactor = new Redactor();
  const fresh = redactor.add([
    new Secret('TOKEN', 'pass"word'),
    new Secret('KEY', 'line-one\nline-two'),
    new Secret('PIN', '12'),
  ]);

  expect(fresh).toEqual(['pass"word', 'line-one', 'line-two']);
  expect(redactor.clean('x pass"word y')).toBe('x [redacted] y');
  expect(redactor.clean(JSON.stringify({ t: 'pass"word', k: 'line-one\nline-two', pin: '12' }))).toBe(
    '{"t":"[redacted]","k":"[redacted]\\n[redacted]","pin":"12"}',
  );
});

test('an outcome tells host by host what was done, failed and not begun', () => {
  const outcome = {
    done: [start],
    failed: [{ node: replace, error: new CuError('UNHEALTHY', 'never healthy') }],
    skipped: [{ node: remove, why: 'what it waits for was not done' }],
    cancelled: false,
  };
  const away = [new CuError('HOST_UNREACHABLE', 'no answer', { host: 'web-3' })];

  expect(outcomeText(outcome, away, plainTheme).split('\n')).toEqual([
    'web-1  started shop-dev-broker',
    'web-2  failed to replace shop-dev-worker-big, skipped remove shop-dev-old (what it waits for was not done)',
    'web-3  unreachable, left out',
  ]);
});

test('after a failure it says what runs on each host now, and why', () => {
  const instance = { service: 'web', instance: '1', version: 'r1' };
  const runsNow = [
    {
      host: 'web-1',
      instances: [
        { ...instance, why: 'put back' },
        { ...instance, service: 'redis', version: undefined, why: 'as before' },
      ],
    },
    { host: 'web-22', instances: [] },
    { host: 'web-3', instances: undefined },
  ] as const;
  const outcome = { done: [start], failed: [], skipped: [], cancelled: true, runsNow };

  expect(outcomeText(outcome, [], plainTheme).split('\n').slice(1)).toEqual([
    '',
    'What runs now:',
    'web-1   web/1 r1 (put back), redis/1 (as before)',
    'web-22  nothing',
    'web-3   does not answer',
  ]);
});

test('an outcome in which nothing was to do says so', () => {
  expect(outcomeText({ done: [], failed: [], skipped: [], cancelled: false }, [], plainTheme)).toBe('nothing to do');
});

const ROW: StatusRow = {
  host: 'web-1',
  service: 'worker',
  instance: 'big',
  version: 'r2.h1',
  state: 'running',
  health: 'healthy',
  uptimeMs: 185_000,
  cpuPercent: 12.34,
  memoryBytes: 3_200_000,
  memoryLimitBytes: 64_000_000,
  ports: ['10.0.0.1:80'],
  proxy: undefined,
  drift: [],
};

test('status is a table; what is not known is a dash', () => {
  const missing: StatusRow = {
    ...ROW,
    host: 'web-2',
    version: undefined,
    state: 'missing',
    health: 'none',
    uptimeMs: undefined,
    cpuPercent: undefined,
    memoryBytes: undefined,
    ports: [],
    drift: ['it does not run'],
  };

  expect(statusText([ROW, missing], plainTheme).split('\n')).toEqual([
    'host   service  instance  version  state    health   uptime    cpu            memory  ports',
    'web-1  worker   big       r2.h1    running  healthy   3m 5s  12.3%  3.2 MB / 64.0 MB  10.0.0.1:80',
    'web-2  worker   big       -        missing  -             -      -                 -  -',
    '',
    'drift: web-2/worker/big: it does not run',
    '`cu plan` says what a deploy would do about it',
  ]);
});

test('a purge says what it would free, and that it did not yet', () => {
  const items = [{ host: 'web-1', type: 'image', name: 'app:r1', why: 'older than the 3 kept', bytes: 3_200_000 }];

  expect(purgeText({ items, isRemoved: false }, plainTheme)).toMatch(
    /would remove 1 and free up to 3\.2 MB; `--yes` does it$/,
  );
  expect(purgeText({ items, isRemoved: true }, plainTheme)).toMatch(/removed 1, freed up to 3\.2 MB$/);
  expect(purgeText({ items: [], isRemoved: false }, plainTheme)).toBe('nothing to purge');
});
