import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { fingerprint, judgeKey, keyType, knownHostsLine, knownKeys } from '../../../src/transport/known-hosts.ts';

const blob = (type: string, body: string): Buffer =>
  Buffer.concat([Buffer.from([0, 0, 0, type.length]), Buffer.from(type), Buffer.from(body)]);
const ed = blob('ssh-ed25519', 'one');
const other = blob('ssh-ed25519', 'two');
const ecdsa = blob('ecdsa-sha2-nistp256', 'three');
const key = (bytes: Buffer): string => `${keyType(bytes)} ${bytes.toString('base64')}`;
const hashed = (name: string): string => {
  const salt = Buffer.from('12345678901234567890');
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`;
};

describe('entries that are about a host', () => {
  test.each([
    ['host1', 'host1', 22, true],
    ['HOST1', 'host1', 22, true],
    ['host1', 'host2', 22, false],
    ['a,host1,b', 'host1', 22, true],
    ['[host1]:2222', 'host1', 2222, true],
    ['host1', 'host1', 2222, false],
    ['[host1]:2222', 'host1', 22, false],
    ['*.lab', 'x.lab', 22, true],
    ['host?', 'host1', 22, true],
    ['*.lab,!bad.lab', 'bad.lab', 22, false],
    ['!bad.lab,*.lab', 'good.lab', 22, true],
    ['10.0.0.*', '10.0.0.7', 22, true],
    ['[*]:2222', 'any', 2222, true],
    [hashed('host1'), 'host1', 22, true],
    [hashed('host1'), 'host2', 22, false],
    [hashed('[host1]:2222'), 'host1', 2222, true],
    ['2001:db8::1', '2001:db8::1', 22, true],
  ])('%s and %s port %i: %s', (patterns, name, port, isKnown) => {
    const found = knownKeys(`${patterns} ${key(ed)} comment`, 'f', { name, port });

    expect(found).toHaveLength(isKnown ? 1 : 0);
  });

  test('comments, blank lines and what cannot be read are passed over, lines are counted', () => {
    const text = `# host1 ${key(ed)}\r\n\r\nhost1 ssh-ed25519\n@strange host1 ${key(ed)}\n  host1\t${key(ed)}\n`;

    expect(knownKeys(text, 'file', { name: 'host1', port: 22 }).map(({ at }) => at)).toEqual(['file:5']);
  });

  test('a pattern of many stars takes no time', () => {
    const pattern = `${'*a'.repeat(40)}b`;

    expect(knownKeys(`${pattern} ${key(ed)}`, 'f', { name: 'a'.repeat(200), port: 22 })).toEqual([]);
  });
});

describe('what is said of a key', () => {
  const judge = (text: string, shown: Buffer): string =>
    judgeKey(shown, knownKeys(text, 'f', { name: 'h', port: 22 })).type;

  test.each([
    ['nothing is known', '', ed, 'unknown'],
    ['it is known', `h ${key(ed)}`, ed, 'known'],
    ['one of two is known', `h ${key(other)}\nh ${key(ed)}`, ed, 'known'],
    ['another of its type is known', `h ${key(other)}`, ed, 'changed'],
    ['only one of another type is known', `h ${key(ecdsa)}`, ed, 'changed'],
    ['it is known and revoked', `h ${key(ed)}\n@revoked * ${key(ed)}`, ed, 'revoked'],
    ['another is revoked', `h ${key(ed)}\n@revoked * ${key(other)}`, ed, 'known'],
    ['only an authority is known', `@cert-authority * ${key(ed)}`, ed, 'authority'],
    ['the authority’s own key is shown', `@cert-authority * ${key(other)}\nh ${key(ed)}`, ed, 'known'],
  ])('%s', (_, text, shown, verdict) => {
    expect(judge(text, shown)).toBe(verdict);
  });

  test('a changed key names the known one of the same type, and where it is', () => {
    const known = knownKeys(`h ${key(ecdsa)}\nh ${key(other)}`, 'f', { name: 'h', port: 22 });

    expect(judgeKey(ed, known)).toMatchObject({ type: 'changed', known: { type: 'ssh-ed25519', at: 'f:2' } });
  });
});

test('a line for known_hosts is read back as known', () => {
  const at = { name: 'host1', port: 2222 };
  const line = knownHostsLine(at, ed);

  expect(line).toMatch(/^\[host1\]:2222 ssh-ed25519 /);
  expect(judgeKey(ed, knownKeys(line, 'f', at)).type).toBe('known');
});

test('fingerprints are as ssh-keygen prints them', () => {
  const line = 'AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl';

  expect(fingerprint(Buffer.from(line, 'base64'))).toBe('SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU');
});

test('what is no key at all is no crash', () => {
  expect(keyType(Buffer.from([]))).toBe('');
  expect(keyType(Buffer.from([255, 255, 255, 255, 1]))).toBe('\u0001');
});
