import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { CuError } from '../../../src/core/error.ts';
import { connectError, isTransient } from '../../../src/transport/errors.ts';
import { exitStatus } from '../../../src/transport/exit-status.ts';
import { globMatches } from '../../../src/transport/glob.ts';
import { jumpTarget } from '../../../src/transport/jump.ts';
import { quote } from '../../../src/transport/quote.ts';
import { expandPath, expandVariables } from '../../../src/transport/ssh-config-paths.ts';

test('words are quoted only where a shell would change them', () => {
  expect(quote(['docker', 'rm', '--force', 'a.b:1/x'])).toBe('docker rm --force a.b:1/x');
  expect(quote(['', "it's", '$HOME', 'a b', '~'])).toBe(`'' 'it'\\''s' '$HOME' 'a b' '~'`);
  expect(() => quote(['a\0b'])).toThrow(/NUL/);
});

test('an exit code and a signal mean the same however they are told', () => {
  expect(exitStatus(0, undefined)).toEqual({ exitCode: 0, signal: undefined });
  expect(exitStatus(128, undefined)).toEqual({ exitCode: 128, signal: undefined });
  expect(exitStatus(137, undefined)).toEqual({ exitCode: 137, signal: 'SIGKILL' });
  expect(exitStatus(255, undefined)).toEqual({ exitCode: 255, signal: undefined });
  expect(exitStatus(null, 'TERM')).toEqual({ exitCode: 143, signal: 'SIGTERM' });
  expect(exitStatus(undefined, 'SIGXYZ')).toEqual({ exitCode: 137, signal: 'SIGXYZ' });
});

test('wildcards match as a regular expression of them would', () => {
  const text = fc.stringMatching(/^[ab]{0,8}$/);
  const pattern = fc.stringMatching(/^[ab*?]{0,6}$/);
  const check = (each: string, wanted: string): void => {
    const expression = new RegExp(`^${each.replaceAll('*', '.*').replaceAll('?', '.')}$`);
    expect(globMatches(each, wanted)).toBe(expression.test(wanted));
  };

  fc.assert(fc.property(pattern, text, check), { numRuns: 2000 });
});

const host2 = {
  name: 'host2',
  connection: 'ssh',
  address: '192.0.2.12',
  user: 'deploy',
  port: 2222,
  identity: '/k',
  proxyJump: ['host1'],
  knownHosts: [],
  advertise: undefined,
  client: 'auto',
  dockerSocket: undefined,
} as const;

test('a jump is a host of the config, or an address with the settings of the host behind it', () => {
  const host1 = { ...host2, name: 'host1', address: '192.0.2.11', proxyJump: [] };

  expect(jumpTarget(host2, ['host1'], [host1])).toBe(host1);
  expect(jumpTarget(host2, ['host1', 'me@[2001:db8::1]:2200'], [host1])).toMatchObject({
    address: '2001:db8::1',
    user: 'me',
    port: 2200,
    identity: '/k',
    proxyJump: ['host1'],
  });
  expect(jumpTarget(host2, ['bastion'], [])).toMatchObject({ address: 'bastion', user: undefined, port: undefined });
  expect(() => jumpTarget(host2, ['a:b:c'], [])).toThrow(/not \[user@\]address/);
});

test('paths of ssh_config are expanded as ssh does', () => {
  const at = {
    home: '/home/me',
    env: { SOCK: '/run/agent', DIR: 'keys' },
    hostname: '192.0.2.1',
    port: 2222,
    user: 'deploy',
    original: 'lab',
    username: 'me',
  };

  expect(expandPath('~/.ssh/%r@%n:%p-%h-%u%%', at)).toBe('/home/me/.ssh/deploy@lab:2222-192.0.2.1-me%');
  expect(expandPath('"%d/.ssh/lab key"', at)).toBe('/home/me/.ssh/lab key');
  expect(expandPath('~/${DIR}/x', at)).toBe('/home/me/keys/x');
  expect(expandVariables('$SOCK', at.env)).toBe('/run/agent');
  expect(expandVariables('$MISSING', at.env)).toBe('');
});

test.each([
  [{ code: 'ECONNREFUSED' }, 'nothing listens there', true],
  [{ code: 'EHOSTUNREACH' }, 'no route to it', false],
  [{ code: 'ENOTFOUND' }, 'its name is not known', false],
  [new Error('ssh: Could not resolve hostname x: Name or service not known'), 'its name is not known', false],
  [new Error('kex_exchange_identification: read: Connection reset by peer'), 'it closed the connection', true],
  [new Error('Connection lost before handshake'), 'it closed the connection', true],
  [new Error('ssh: connect to host x port 22: Connection refused'), 'nothing listens there', true],
  [new Error('something new'), 'something new', false],
])('a connection that fails says why: %j', (cause, words, isWorthAnotherTry) => {
  const error = connectError(cause, { name: 'host1', description: 'deploy@x:22' });

  expect(error).toMatchObject({ code: 'HOST_UNREACHABLE', host: 'host1', exitCode: 3 });
  expect(error.message).toBe(`deploy@x:22 cannot be reached: ${words}`);
  expect(error.hint).not.toBe('');
  expect(isTransient(cause)).toBe(isWorthAnotherTry);
});

test('what was refused is never tried again', () => {
  expect(isTransient(new CuError('HOST_KEY_CHANGED', 'connection reset'))).toBe(false);
  expect(isTransient({ level: 'client-authentication', message: 'connection refused' })).toBe(false);
});
