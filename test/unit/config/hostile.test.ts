import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/parse.ts';
import { briefly, parsed, withServices } from './read.ts';

const valid = withServices('tiles: { kind: container, image: app, on: [host1] }');

describe('what is no config is told in one line', () => {
  test.each([
    ['an empty file', '', ['1:1 : the file is empty']],
    ['only a comment', '# nothing\n', ['1:1 : the file is empty']],
    ['a list', '- a\n', ['1:1 : expected a map, got a list']],
    ['a text', 'hello', ['1:1 : expected a map, got "hello"']],
    ['a NUL', 'project: a\0b', ['1:11 : a control character (0x00): is this a text file?']],
    ['an escape sequence', 'project: \u001b[31m', ['1:10 : a control character (0x1b): is this a text file?']],
    ['a tab', 'hosts:\n\thost1: {}\n', ['2:1 : a tab is used for indentation']],
    [
      'two documents',
      'project: a\n---\nproject: b\n',
      ['2:1 : a second YAML document begins here: a config is one document'],
    ],
    ['a tag', 'project: !!js/function x\n', ['1:10 : YAML tags (!name) are not supported']],
    ['an alias of nothing', 'project: a\nhosts: *none\n', ['2:8 hosts: no value before this is marked &none']],
    ['an alias of itself', 'project: a\nhosts: &h { x: *h }\n', ['2:16 hosts.x: the alias *h contains itself']],
  ])('%s', (_name, text, problems) => {
    expect(briefly(text)).toEqual(expect.arrayContaining(problems));
  });

  test('a text that begins with a star, and was meant to be a port', () => {
    const text = withServices('web: { kind: webserver, image: app, on: [host1], ports: [ *:80 ] }');

    expect(briefly(text)[0]).toMatch(/^7:61 services\.web\.ports\.0: no value before this is marked &/);
  });
});

test('a byte order mark, Windows line ends and anchors are fine', () => {
  expect(parsed(`\uFEFF${valid.replaceAll('\n', '\r\n')}`).project).toBe('shop');
  expect(parsed(withServices('a: &a { kind: container, image: app, on: [host1] }\nb: *a')).environments).toHaveLength(
    1,
  );
});

test('the column and the line are right with Windows line ends', () => {
  expect(briefly(valid.replace('tiles: { kind', 'tiles: { knd').replaceAll('\n', '\r\n'))).toEqual([
    '7:3 services.tiles.kind: is missing: expected beat, container, flower, redis, sshfs, webserver, worker',
  ]);
});

test('a key given twice is refused where it stands the second time', () => {
  expect(briefly(`${valid}project: other\n`)).toEqual(['8:1 project: the key "project" is given twice']);
});

test('merge keys lay a map under another', () => {
  const text = withServices(
    'a: &a { kind: container, image: app, on: [host1], memory: 1g }\nb: { <<: *a, memory: 2g }',
  );

  const { services } = parsed(text).environments[0]?.config ?? {};

  expect(services?.['b']).toMatchObject({
    kind: 'container',
    image: 'app',
    memory: { type: 'bytes', bytes: 2 * 1024 ** 3 },
  });
  expect(briefly(withServices('b: { <<: 5, kind: container, image: app, on: [host1] }'))).toEqual([
    '7:12 services.b."<<": expected a map, or a list of maps, to merge',
  ]);
});

test.each(['__proto__', 'constructor', 'prototype'])('the key %s is refused and harms nothing', (key) => {
  for (const text of [
    `${valid}${key}: { polluted: 1 }\n`,
    valid.replace('{ kind', `{ ${key}: { polluted: 1 }, kind`),
    valid.replace('tiles', key),
  ]) {
    expect(briefly(text).join('\n')).toContain(`the key "${key}" is not allowed`);
  }
  expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
});

test('names such as toString and hasOwnProperty are not found where nobody put them', () => {
  expect(
    briefly(withServices('tiles: { kind: container, image: toString, user: valueOf, on: [hasOwnProperty] }')),
  ).toEqual([
    '7:36 services.tiles.image: no image is called "toString"',
    '7:52 services.tiles.user: no user is called "valueOf"',
    '7:66 services.tiles.on.0: no host is called "hasOwnProperty"',
  ]);
});

test('a number as a name is told as such', () => {
  expect(briefly(valid.replace('tiles', '8080'))).toEqual([
    '7:3 services.8080: expected a name of a-z, 0-9 and - that begins with a letter, got "8080"',
  ]);
});

describe('what would take long or much is refused soon', () => {
  const laughs = Array.from(
    { length: 30 },
    (_, index) =>
      `a${index}: &a${index} [${Array(9)
        .fill(index === 0 ? 'x' : `*a${index - 1}`)
        .join(', ')}]`,
  ).join('\n');
  const million = 1024 * 1024 - 200;

  test.each([
    ['an alias bomb', laughs, 'aliases make this more than 100000 values'],
    [
      'a long chain of aliases',
      Array.from(
        { length: 3000 },
        (_, index) => `a${index}: &a${index} { x: ${index === 0 ? 1 : `*a${index - 1}`} }`,
      ).join('\n'),
      'nested more than 64 levels',
    ],
    ['open brackets', '['.repeat(million), 'nested more than 64 levels deep'],
    ['open braces', '{a: '.repeat(million / 4), 'nested more than 64 levels deep'],
    ['lists in lists', '- '.repeat(million / 2), 'nested more than 64 levels deep'],
    ['keys of keys', '? '.repeat(million / 2), 'nested more than 64 levels deep'],
    [
      'ever deeper lines',
      Array.from({ length: 1400 }, (_, index) => `${' '.repeat(index)}a:`).join('\n'),
      'nested more than 64 levels deep',
    ],
    ['2 MiB', `# ${'x'.repeat(2 * 1024 * 1024)}`, 'the file is larger than 1 MiB'],
    ['many keys', Array.from({ length: 24_000 }, (_, index) => `k${index}: 1`).join('\n'), ''],
    ['the same key again and again', 'a: 1\n'.repeat(24_000), ''],
    ['a very long name', `${'k'.repeat(million)}: 1`, ''],
    ['a very long line of a list', `a: [${'1,'.repeat(million / 2 - 10)}]`, 'more than 100000 words and signs'],
    ['many lines', 'a: 1\n'.repeat(200_000), 'more than 100000 words and signs'],
    ['many anchors', Array.from({ length: 30_000 }, (_, index) => `k${index}: &a${index} 1`).join('\n'), ''],
    [
      'a thousand services on a thousand hosts',
      withServices(
        Array.from(
          { length: 300 },
          (_, index) =>
            `s${index}: { kind: container, image: app, on: { host1: { replicas: 1000 }, host2: { replicas: 1000 } } }`,
        ).join('\n'),
      ),
      'more than 2000',
    ],
    ['quotes that never end', `a: "${'x\n'.repeat(million / 3)}`, ''],
    ['colons', 'a: '.repeat(million / 4), ''],
    ['dashes on their own', '-\n'.repeat(million / 2), ''],
  ])('%s', (_name, text, message) => {
    const startedAt = performance.now();

    const result = parseConfig(text, 'cu.config.yaml');

    expect(performance.now() - startedAt).toBeLessThan(8000);
    expect(result.type).toBe('invalid');
    if (result.type === 'invalid')
      expect(result.problems.map((problem) => problem.message).join('\n')).toContain(message);
  });
});
