import { expect, test } from 'vitest';
import type { BuildContext, ContextEntry } from '../../../src/build/context.ts';
import { isDirty, versionOf, type GitFacts } from '../../../src/build/version.ts';

const digest = 'a97aece3cba5'.padEnd(64, '0');
const now = new Date('2026-11-24T23:30:00Z');
const commit: GitFacts = {
  type: 'commit',
  hash: '9f2c01ab34cd56ef'.padEnd(40, '0'),
  commits: 57,
  committedAt: new Date('2026-10-02T08:00:00Z'),
  isShallow: false,
  isDirty: false,
};

test('a clean commit gives its own name, whenever it is built', () => {
  expect(versionOf({ git: commit, digest, now })).toBe('r57.d20261002.h9f2c01ab34');
});

test('a dirty tree is named by its content', () => {
  expect(versionOf({ git: { ...commit, isDirty: true }, digest, now })).toBe('r57.d20261124.xa97aece3cb');
});

test('outside git and in a shallow clone the number of commits is left out', () => {
  expect(versionOf({ git: { type: 'none' }, digest, now })).toBe('d20261124.xa97aece3cb');
  expect(versionOf({ git: { ...commit, isShallow: true }, digest, now })).toBe('d20261124.xa97aece3cb');
});

test('one name never means two builds', () => {
  const name = 'r57.d20261002.h9f2c01ab34';

  expect(versionOf({ git: commit, digest, now, taken: new Map([[name, digest]]) })).toBe(name);
  expect(versionOf({ git: commit, digest, now, taken: new Map([[name, 'other']]) })).toBe(`${name}.xa97aece3cb`);
});

function contextWith(...paths: readonly string[]): BuildContext {
  const entries = paths.map((path): ContextEntry => ({
    type: 'symlink',
    path,
    mode: 0o777,
    modifiedMs: 0,
    target: 'x',
  }));
  return {
    root: '/repo/app',
    entries,
    dockerfile: 'Dockerfile',
    dockerfileText: '',
    hidden: [],
    runtime: [],
  };
}

test.each([
  ['nothing changed', '', false],
  ['a changed file', ' M app/main.py\0', true],
  ['a new file that Docker leaves out', '?? app/notes.txt\0', true],
  ['an ignored folder that Docker leaves out', '!! app/node_modules/\0', false],
  ['an ignored folder that Docker takes', '!! app/data/\0', true],
  ['an ignored file that Docker takes', '!! app/model.bin\0', true],
  ['an ignored file with nearly the same name', '!! app/model.binary\0', false],
  ['the whole context ignored', '!! app/\0', true],
] as const)('%s: dirty is %s', (_, status, expected) => {
  expect(isDirty(status, 'app/', contextWith('main.py', 'data/rows.csv', 'model.bin'))).toBe(expected);
});
