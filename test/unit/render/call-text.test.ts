import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { CuEvent } from '../../../src/core/event.ts';
import { bar, liveCall } from '../../../src/render/job-text.ts';
import { methodsText, methodText, schemaText } from '../../../src/render/methods-text.ts';
import type { Method } from '../../../src/render/methods-text.ts';
import { createPlainRenderer } from '../../../src/render/plain.ts';
import { plainTheme } from '../../../src/render/theme.ts';

const METHOD: Method = {
  name: 'tiles.mosaic',
  summary: 'Join tiles.',
  doc: 'Join tiles.\n\nAll of them\nat once.',
  scope: 'tiles',
  parameters: [
    { name: 'region', schema: {}, isRequired: true, doc: 'Where.', isFile: true },
    { name: 'zoom', schema: { type: 'integer' }, isRequired: false, preset: 3, doc: '', isFile: false },
  ],
  returns: { type: 'array', items: { type: 'number' } },
};

beforeEach(() => void vi.useFakeTimers({ now: 0 }));

afterEach(() => void vi.useRealTimers());

test('methods are a table', () => {
  expect(methodsText([METHOD], plainTheme).split('\n')).toEqual([
    'method        arguments      does',
    'tiles.mosaic  region [zoom]  Join tiles.',
  ]);
  expect(methodsText([], plainTheme)).toContain('there is nothing to call');
});

test('a method is described with its arguments and a line that calls it', () => {
  expect(methodText(METHOD, plainTheme).split('\n')).toEqual([
    'tiles.mosaic  Join tiles.',
    '',
    '  All of them',
    '  at once.',
    '',
    '  argument  type',
    '  region    file     required   Where.',
    '  zoom      integer  default 3',
    '',
    '  returns list of number',
    '  needs a token with the scope tiles',
    '  $ cu call tiles.mosaic region=@FILE --wait',
  ]);
});

test.each([
  [{ enum: ['a', 2] }, '"a" | 2'],
  [{ const: 'a' }, '"a"'],
  [{ anyOf: [{ type: 'string' }, { type: 'null' }] }, 'string | null'],
  [{ type: ['string', 'null'] }, 'string | null'],
  [{ type: 'string', format: 'date' }, 'string (date)'],
  [{}, 'any'],
])('the schema %j in words', (schema, words) => {
  expect(schemaText(schema)).toBe(words);
});

const changed = (progress: number | undefined, message = '', state: 'queued' | 'running' | 'done' = 'running') =>
  ({ type: 'job-changed', job: 'j1', name: 'tiles', state, progress, message }) as const;

test.each([
  [0, '[--------------------]'],
  [0.5, '[##########----------]'],
  [0.999, '[###################-]'],
  [1, '[####################]'],
  [7, '[####################]'],
  [Number.NaN, '[--------------------]'],
])('the bar of %d', (share, expected) => {
  expect(bar(share)).toBe(expected);
});

test('the live line is never wider than the terminal', () => {
  const event = changed(0.42, 'joining '.repeat(20));

  const wide = liveCall(event, { columns: 200, ms: 3000, theme: plainTheme });
  const narrow = liveCall(event, { columns: 50, ms: 3000, theme: plainTheme });

  expect(wide).toContain('  tiles  [########------------]  42%  joining joining');
  expect(narrow.length).toBe(49);
  expect(narrow).toMatch(/…  3\.0s$/);
});

test('plain: a job has a line for each state, each tenth, and its words every ten seconds', () => {
  let written = '';
  const write = (text: string): void => void (written += text);
  const renderer = createPlainRenderer({ write, theme: plainTheme, verbose: false, now: Date.now });
  const steps: readonly (readonly [number, CuEvent])[] = [
    [0, changed(undefined, '', 'queued')],
    [1000, changed(undefined)],
    [2000, changed(0.01, 'one')],
    [3000, changed(0.1, 'two')],
    [4000, changed(0.19, 'three')],
    [5000, { type: 'job-log', job: 'j1', name: 'tiles', text: 'a word\nand another\n' }],
    [14_000, changed(0.19, 'four')],
    [15_000, changed(1, '', 'done')],
  ];

  for (const [at, event] of steps) {
    vi.setSystemTime(at);
    renderer.on(event);
  }
  renderer.close();

  expect(written.split('\n')).toEqual([
    'tiles | queued as job j1, which goes on by itself: `cu call --job j1 --wait` gets its result',
    'tiles | running',
    'tiles | running 10% two',
    'tiles | a word',
    'tiles | and another',
    'tiles | running 19% four',
    'tiles | done 100%',
    '',
  ]);
});
