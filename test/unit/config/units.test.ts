import { expect, test } from 'vitest';
import { suggest } from '../../../src/core/suggest.ts';
import { parseBytes, parseDuration, parseShare } from '../../../src/core/units.ts';

test.each([
  ['512m', 512 * 1024 ** 2],
  ['1.5g', 1.5 * 1024 ** 3],
  ['1b', 1],
  ['2G', undefined],
  ['2', undefined],
  ['-1m', undefined],
  ['', undefined],
])('%s is %s bytes', (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
});

test.each([
  ['500ms', 500],
  ['1h30m', 5_400_000],
  ['0s', 0],
  ['1.5s', 1500],
  ['30', undefined],
  ['s', undefined],
  ['1s '.repeat(50), undefined],
])('%s is %s ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each([
  ['70%', 0.7],
  ['100%', 1],
  ['0%', undefined],
  ['101%', undefined],
  ['0.7', undefined],
])('%s is a share of %s', (text, share) => {
  expect(parseShare(text)).toBe(share);
});

test.each([
  ['replics', 'replicas'],
  ['webserver', 'webserver2'],
  ['broekr', 'broker'],
  ['WORKER', 'worker'],
  ['web', 'webserver2'],
  ['x', undefined],
  ['', undefined],
  ['something else', undefined],
  ['r'.repeat(10_000), undefined],
])('%s: did you mean %s?', (text, name) => {
  expect(suggest(text, ['replicas', 'broker', 'worker', 'webserver2', 'on'])).toBe(name);
});
