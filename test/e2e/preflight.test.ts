import { afterAll, beforeAll, expect, test } from 'vitest';
import { SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const PROJECT = 'e2e-preflight';
const LOCKED = `/srv/${PROJECT}-locked`;
const OWN = `/srv/${PROJECT}-own`;
const HIDDEN = `/root/${PROJECT}/data`;
const DATE = '/usr/local/bin/date';
const CONFIG = `
storage: none
images: { app: { repository: ${PROJECT}, build: { context: . } } }
users: { app: { uid: 4242 } }
environments:
  dev: { default: true }
  right: { services: { tiles: { mounts: ["${LOCKED}:/locked:ro", "${OWN}:/own", "${HIDDEN}:/hidden"] } } }
services:
  tiles:
    kind: container
    image: app
    user: app
    on: [host3]
    command: [sh, /app.sh]
    drain: 1s
    mounts: ["/srv/${PROJECT}-missing:/missing", "${LOCKED}:/locked", "${OWN}:/own", "${HIDDEN}:/hidden"]
`;
/** Lies to one user only: other tests have the host too. */
const FALSE_DATE = `#!/bin/sh
if [ "$(id -un)" = second ] && [ "$1" = +%s ]; then echo $(($(/bin/date +%s) + 3600)); else exec /bin/date "$@"; fi
`;

let scenario: Scenario;

beforeAll(async () => {
  scenario = await startScenario({
    project: PROJECT,
    config: CONFIG,
    files: SMALL_APP,
    hosts: ['host3'],
    user: 'second',
  });
  await onHost(`mkdir -p ${LOCKED} ${OWN} ${HIDDEN}; chmod 755 ${LOCKED}; chown 4242 ${OWN}; chmod 700 /root`);
});

afterAll(async () => {
  await onHost(`rm -rf ${DATE} ${LOCKED} ${OWN} /root/${PROJECT}`);
  await scenario[Symbol.asyncDispose]();
});

async function onHost(script: string): Promise<void> {
  const { exitCode, stderr } = await scenario.testbed.exec('host3', ['sh', '-c', script]);
  expect(exitCode, stderr).toBe(0);
}

test('what is wrong with a host is told all at once, before anything is changed', async () => {
  await onHost(`printf '%s' '${FALSE_DATE.replaceAll("'", `'\\''`)}' > ${DATE}; chmod 755 ${DATE}`);

  const result = await scenario.cu('deploy');
  await onHost(`rm ${DATE}`);

  expect(result.exitCode, result.all).toBe(2);
  expect(result.stderr).toMatch(/the clock of the host is 3(599|600|601) s ahead of this machine's/);
  expect(result.stderr).toContain(`/srv/${PROJECT}-missing is missing: tiles mounts it`);
  expect(result.stderr).toContain(`tiles runs as 4242:4242 and cannot write to ${LOCKED} (0:0, mode 755)`);
  expect(result.stderr).not.toContain(OWN);
  expect(result.stderr).not.toContain(HIDDEN);
  expect(await scenario.containers('host3')).toEqual([]);
  expect(await scenario.docker('host3', 'images', '-q', PROJECT)).toBe('');
});

test('what is right, and what the SSH user cannot see, is in nobody’s way', async () => {
  const result = await scenario.cu('deploy', '--env', 'right');

  expect(result.exitCode, result.all).toBe(0);
  expect(await scenario.containers('host3')).toMatchObject([{ name: `${PROJECT}-right-tiles-1`, state: 'running' }]);
});
