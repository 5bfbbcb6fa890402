import { expect, test } from 'vitest';
import { needsBuildKit } from '../../../src/build/build.ts';
import { resolveArgs } from '../../../src/build/classic.ts';
import { mergeAuths } from '../../../src/build/docker-config.ts';
import { startBuildKitLog } from '../../../src/build/buildkit.ts';
import { startStepLog } from '../../../src/build/step-log.ts';
import { Secret } from '../../../src/core/secret.ts';
import type { BuildSource } from '../../../src/core/state.ts';

const source: BuildSource = {
  type: 'build',
  name: 'app',
  repository: 'rasters',
  registry: undefined,
  context: '/src',
  dockerfile: 'Dockerfile',
  target: undefined,
  args: {},
  secrets: [],
  platform: undefined,
  on: 'local',
  keep: 3,
};

test.each([
  ['FROM scratch\nRUN true', undefined],
  ['# syntax=docker/dockerfile:1\nFROM scratch', 'a # syntax= line'],
  ['# a word on\n#syntax = docker/dockerfile:1\nFROM scratch', 'a # syntax= line'],
  ['FROM scratch\n# syntax=too late', undefined],
  ['FROM scratch\nRUN --mount=type=cache,target=/x true', 'RUN --mount'],
  ['FROM scratch\nRUN \\\n  --mount=type=cache,target=/x \\\n true', 'RUN --mount'],
  ['FROM scratch\nrun --network=none true', 'RUN --mount'],
  ['FROM scratch\n# RUN --mount=x', undefined],
  ['FROM scratch\nRUN <<EOF\necho\nEOF', 'a here-document'],
  ['FROM scratch\nCOPY <<"EOF" /etc/x\nhi\nEOF', 'a here-document'],
  ['FROM scratch\nRUN echo $((1<<2))', undefined],
  ['FROM scratch\nCOPY --chmod=755 a b', 'flags of COPY or ADD'],
  ['FROM scratch\nCOPY --from=x --link a b', 'flags of COPY or ADD'],
  ['FROM scratch\nCOPY --chown=1:1 a b', undefined],
])('%j needs BuildKit: %s', (dockerfile, why) => {
  expect(needsBuildKit(source, dockerfile)).toBe(why);
});

test('build secrets need BuildKit', () => {
  expect(needsBuildKit({ ...source, secrets: [new Secret('TOKEN', 'x')] }, 'FROM scratch')).toBe('build secrets');
});

test('a null argument comes from the environment and is left out when unset there', () => {
  const args = { PYTHON: '3.13', PIP_INDEX_URL: null, HTTP_PROXY: null };

  expect(resolveArgs({ source: { ...source, args }, env: { PIP_INDEX_URL: 'https://pypi' } })).toEqual({
    PYTHON: '3.13',
    PIP_INDEX_URL: 'https://pypi',
  });
});

test('a failure shows the lines of its own step', () => {
  const log = startStepLog(undefined);
  for (const text of ['Step 1/2 : FROM x\n', ' ---> 1\n', 'Step 2/2 : RUN y\n', 'out', 'put\nmore\n'])
    log.add(text, /^Step \d+/);

  expect(log.tail()).toBe('Step 2/2 : RUN y\noutput\nmore');
});

test('of a step that says much, the last twenty lines', () => {
  const log = startStepLog(undefined);
  log.add('Step 1/1 : RUN z\n', /^Step/);
  for (let line = 1; line <= 100; line += 1) log.add(`line ${line}\n`);

  expect(log.tail().split('\n')).toEqual([
    'Step 1/1 : RUN z',
    ...Array.from({ length: 20 }, (_, index) => `line ${index + 81}`),
  ]);
});

test('BuildKit steps that run side by side do not mix', () => {
  const log = startBuildKitLog(undefined);
  for (const line of [
    '#1 [1/3] RUN a',
    '#2 [2/3] RUN b',
    '#1 0.1 from a',
    '#2 0.2 from b',
    '#2 sha256:abc',
    '#2 ERROR: exit code: 3',
    '#1 0.3 more a',
    '------',
  ])
    log.add(line);

  expect(log.tail()).toBe('[2/3] RUN b\nfrom b\nERROR: exit code: 3');
});

test("our registries join the user's docker config, whatever credential store it names", () => {
  const registries = [
    { host: 'registry.example.org', username: 'ci', password: new Secret('P', 'pw') },
    { host: 'docker.io', username: 'u', password: new Secret('Q', 'qw') },
  ];

  expect(mergeAuths({ credsStore: 'desktop', auths: { other: {} } }, registries)).toEqual({
    credsStore: 'desktop',
    auths: {
      other: {},
      'registry.example.org': { auth: 'Y2k6cHc=' },
      'https://index.docker.io/v1/': { auth: 'dTpxdw==' },
    },
    credHelpers: { 'registry.example.org': '', 'https://index.docker.io/v1/': '' },
  });
});
