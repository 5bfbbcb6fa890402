import { expect, test } from 'vitest';
import type { ErrorCode } from '../../../src/core/error.ts';
import { hintFor, HINTS } from '../../../src/core/hints.ts';

/** What Docker, ssh and Node say, word for word, and the start of the hint that fits; in the order of the table. */
const SAID: readonly (readonly [said: string, hint: string, code?: ErrorCode])[] = [
  [
    'driver failed programming external connectivity: Bind for 0.0.0.0:80 failed: port is already allocated',
    'something else holds that port',
  ],
  ['write /var/lib/docker/tmp/x: no space left on device', 'the disk is full'],
  [
    'Got permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock',
    'the SSH user may not use Docker',
  ],
  [
    'pull access denied for rasters, repository does not exist or may require docker login',
    'check the image name and tag',
  ],
  ['exec /usr/bin/python: exec format error', 'the image is for another processor'],
  [
    'OCI runtime create failed: exec: "pythn": executable file not found in $PATH: unknown',
    'the program named by `command`',
  ],
  [
    'invalid mount config for type "bind": bind source path does not exist: /mnt/scans',
    'a directory named under `mounts` is missing',
  ],
  ['Conflict. The container name "/shop" is already in use by container "abc"', 'a container of that name exists'],
  ['network shop-dev not found', 'the network was removed'],
  ['kex_exchange_identification: read: Connection reset by peer', "the host's sshd refuses so many"],
  ['could not select device driver "" with capabilities: [[gpu]]', '`gpus` needs the NVIDIA container toolkit'],
  [
    'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?',
    'Docker is not running',
  ],
  ['getaddrinfo ENOTFOUND host1.example.org', 'the name cannot be looked up'],
  ['connect ECONNREFUSED 192.0.2.11:22', 'nothing listens at that address', 'HOST_UNREACHABLE'],
  ['connect ETIMEDOUT 192.0.2.11:22', 'no answer', 'HOST_UNREACHABLE'],
  ['unauthorized: authentication required', 'the registry refuses'],
  ['Minimum memory limit allowed is 6MB', 'give the service more `memory`'],
  ['fork: Cannot allocate memory', 'the container ran out of memory'],
];

test('every row of the table has what it is for in this test', () => {
  expect(SAID).toHaveLength(HINTS.length);
});

test.each(SAID.map(([said, hint, code], row) => ({ said, hint, code, row })))(
  '"$said" gets its hint',
  ({ said, hint, code, row }) => {
    const found = hintFor(code ?? 'DOCKER_API', [undefined, said]);

    expect(found).toMatch(new RegExp(`^${hint.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}`));
    expect(found).toBe(HINTS[row]?.hint);
  },
);

test.each(['shop-dev-web-1 did not stay healthy: it was killed for lack of memory', 'it exited with code 137'])(
  'memory is what cu itself found short: %s',
  (said) => {
    expect(hintFor('UNHEALTHY', [said])).toContain('raise `memory`');
  },
);

test('a row for one code is not used for another', () => {
  expect(hintFor('DOCKER_API', ['connect ECONNREFUSED 127.0.0.1:6379'])).toBeUndefined();
});
