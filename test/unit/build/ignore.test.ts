import { describe, expect, test } from 'vitest';
import { CuError } from '../../../src/core/error.ts';
import { parseIgnore, readPatterns } from '../../../src/build/ignore.ts';

type Case = readonly [pattern: string, path: string, isIgnored: boolean];

// What moby/patternmatcher's own tests expect of a single pattern, parents included.
const SINGLE: readonly Case[] = [
  ['**', 'file', true],
  ['**/', 'file', true],
  ['**', 'dir/file', true],
  ['**/', 'dir/file', true],
  ['**/**', 'dir/file', true],
  ['dir/**', 'dir/file', true],
  ['dir/**', 'dir/dir2/file', true],
  ['dir/**', 'dir', false],
  ['**/dir', 'dir', true],
  ['**/dir', 'dir/file', true],
  ['**/dir2/*', 'dir/dir2/file', true],
  ['**/dir2/**', 'dir/dir2/dir3/file', true],
  ['**file', 'file', true],
  ['**file', 'dir/file', true],
  ['**file', 'dir/myfile', true],
  ['**/file', 'dir/myfile', false],
  ['**/file', 'dir/dir/file', true],
  ['**/file*', 'dir/dir/file.txt', true],
  ['**/file*txt', 'dir/dir/file.txt', true],
  ['**/file*.txt*', 'dir/dir/file.txt', true],
  ['**/**/*.txt', 'dir/dir/file.txt', true],
  ['**/**/*.txt2', 'dir/dir/file.txt', false],
  ['**/*.txt', 'file.txt', true],
  ['a**/*.txt', 'a/file.txt', true],
  ['a**/*.txt', 'a/dir/dir/file.txt', true],
  ['a/*.txt', 'a/dir/file.txt', false],
  ['a/*.txt', 'a/file.txt', true],
  ['a/*.txt**', 'a/file.txt', true],
  ['a[b-d]e', 'ae', false],
  ['a[b-d]e', 'ace', true],
  ['a[b-d]e', 'aae', false],
  ['a[^b-d]e', 'aze', true],
  ['.*', '.foo', true],
  ['.*', 'foo', false],
  ['abc.def', 'abcdef', false],
  ['abc.def', 'abcZdef', false],
  ['abc?def', 'abcZdef', true],
  ['abc?def', 'abc/def', false],
  ['**/foo/bar', 'dir/dir2/foo/bar', true],
  ['abc/**', 'abc/def/ghi', true],
  ['**/.foo', '.foo', true],
  ['**/.foo', 'bar.foo', false],
  ['a(b)c/def', 'a(b)c/def', true],
  ['a(b)c/def', 'a(b)c/xyz', false],
  ['a.|)$(}+{bc', 'a.|)$(}+{bc', true],
  ['dist/*.whl', 'dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl', true],
  ['a\\*b', 'a*b', true],
  ['a\\*b', 'axb', false],
  ['a*', 'ab/c', true],
  ['a*/b', 'a/c/b', false],
  ['a?b', 'a☺b', true],
  ['a???b', 'a☺b', false],
  ['[a-ζ]*', 'α', true],
  ['[\\]a]', ']', true],
  ['[x\\-]', '-', true],
  ['[\\-x]', 'a', false],
  ['*c', 'abc', true],
  ['docs/', 'docs/README.md', true],
  ['/docs', 'docs/README.md', true],
  ['./docs/../docs/x', 'docs/x', true],
  ['  docs  ', 'docs', true],
  ['docs', 'a/docs', false],
  ['a b', 'a b', true],
];

describe('a single pattern', () => {
  test.each(SINGLE)('%s on %s is %s', (pattern, path, isIgnored) => {
    expect(parseIgnore(pattern).isIgnored(path)).toBe(isIgnored);
  });
});

const SEVERAL: readonly (readonly [patterns: readonly string[], path: string, isIgnored: boolean])[] = [
  [['*.go', '!fileutils.go'], 'fileutils.go', false],
  [['!fileutils.go', '*.go'], 'fileutils.go', true],
  [['docs', '!docs/README.md'], 'docs/README.md', false],
  [['docs/', '!docs/README.md'], 'docs/README.md', false],
  [['docs/*', '!docs/README.md'], 'docs/README.md', false],
  [['docs/*', '!docs/README.md'], 'docs/other.md', true],
  [['**', '!util/docker/web'], 'util/docker/web/foo', false],
  [['**', '!util/docker/web', 'util/docker/web/foo'], 'util/docker/web/foo', true],
  [['**', '!dist/*.whl'], 'dist/a+b.whl', false],
  [['*', '!src', 'src/**/*.pyc'], 'src/a/b.pyc', true],
  [['*', '!src', 'src/**/*.pyc'], 'src/a/b.py', false],
  [['# docs', 'x'], '# docs', false],
  [[' # docs'], '# docs', true],
  [['! docs', 'docs', '!  docs/a '], 'docs/a', false],
  [['\uFEFFdocs'], 'docs', true],
  [['docs\r'], 'docs', true],
];

describe('several patterns, the last that matches wins', () => {
  test.each(SEVERAL)('%j on %s is %s', (patterns, path, isIgnored) => {
    expect(parseIgnore(patterns.join('\n')).isIgnored(path)).toBe(isIgnored);
  });
});

test('lines are cleaned as Docker cleans them', () => {
  const text = 'test1\n/test2\n/a/file/here\n\nlastfile\n# this is a comment\n! /inverted/abs/path\n!\n! ';

  expect(readPatterns(text)).toEqual(['test1', 'test2', 'a/file/here', 'lastfile', '!inverted/abs/path', '!', '!']);
});

test.each(['!', '[', '[^', '[^bc', 'a[', '[]a]', '[-]', '[x-]', '[-x]', '[a-b-c]', 'a\\'])(
  'the malformed pattern %s is refused',
  (pattern) => {
    expect(() => parseIgnore(pattern)).toThrow(CuError);
  },
);

test('an ignored directory is read only where something below it may be taken back', () => {
  const plain = parseIgnore('node_modules\ndocs\n!docs/api/index.md');
  const wild = parseIgnore('*\n!**/*.py');

  expect(['node_modules', 'docs', 'docs/api', 'docs/other'].map((path) => plain.mayHoldExceptions(path))).toEqual([
    false,
    true,
    true,
    false,
  ]);
  expect(wild.mayHoldExceptions('src')).toBe(true);
});
