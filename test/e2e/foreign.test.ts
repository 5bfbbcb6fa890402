import { afterAll, beforeAll, expect, test } from 'vitest';
import { startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const TOKEN = 'e2e-token-0123456789abcdef';

/** Two packages that nobody here wrote, one of text and one of numbers, published by nothing but a decorator. */
const TASKS = `"""Text and numbers of other people."""

import inflection
from mpmath import libmp

from cu import call

text = (inflection.camelize, inflection.ordinalize, inflection.pluralize, inflection.titleize, inflection.underscore)
numbers = (libmp.ifib, libmp.list_primes, libmp.moebius, libmp.stirling1, libmp.stirling2)
for function in (*text, *numbers):
    call(public=True)(function)
`;

const DOCKERFILE = `FROM python:3.13-slim
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY cu-runtime/ /opt/cu-runtime/
RUN pip install /opt/cu-runtime
RUN pip install inflection==0.5.1 mpmath==1.3.0
COPY tasks.py .
RUN python -m cu manifest
`;

const CONFIG = `
secrets: { files: [.cu/secrets.env], required: [API_TOKEN] }
users: { app: { uid: 1234, gid: 1234 } }
images:
  app: { repository: e2e-foreign, build: { context: ., args: { PIP_INDEX_URL: null, PIP_EXTRA_INDEX_URL: null, PIP_TRUSTED_HOST: null } } }
services:
  broker: { kind: redis, on: [host1] }
  worker: { kind: worker, image: app, user: app, concurrency: 2, drain: 5s, on: [host1], health: { stable: 300ms } }
  webserver: { kind: webserver, image: app, user: app, secrets: [API_TOKEN], on: [host1], ports: ["*:8521"], health: { stable: 300ms } }
`;

let scenario: Scenario;
let base = '';

beforeAll(async () => {
  scenario = await startScenario({
    project: 'e2e-foreign',
    config: CONFIG,
    hosts: ['host1'],
    files: { 'tasks.py': TASKS, Dockerfile: DOCKERFILE, '.cu/secrets.env': `API_TOKEN=${TOKEN}\n` },
  });
  const deployed = await scenario.cu('deploy');
  expect(deployed.exitCode, deployed.all).toBe(0);
  base = `http://${scenario.testbed.hosts[0]?.address}:8521`;
});

afterAll(() => scenario[Symbol.asyncDispose]());

test.each([
  ['inflection.camelize', { string: 'device_type' }, 'DeviceType'],
  ['inflection.ordinalize', { number: 103 }, '103rd'],
  ['inflection.pluralize', { word: 'octopus' }, 'octopi'],
  ['inflection.titleize', { word: 'man from the boondocks' }, 'Man From The Boondocks'],
  ['inflection.underscore', { word: 'DeviceType' }, 'device_type'],
  ['mpmath.libmp.libintmath.ifib', { n: 90 }, 2_880_067_194_370_816_120n],
  ['mpmath.libmp.libintmath.list_primes', { n: 20 }, [2, 3, 5, 7, 11, 13, 17, 19]],
  ['mpmath.libmp.libintmath.moebius', { n: 30 }, -1],
  ['mpmath.libmp.libintmath.stirling1', { n: 5, k: 3 }, 35],
  ['mpmath.libmp.libintmath.stirling2', { n: 5, k: 3 }, 25],
])('%s answers over HTTP', async (name, body, expected) => {
  const answer = await fetch(`${base}/v1/call/${name}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', prefer: 'wait=60' },
    body: JSON.stringify(body),
  });

  const text = await answer.text();
  expect(answer.status, text).toBe(200);
  if (typeof expected === 'bigint') expect(text.trim()).toBe(`${expected}`);
  else expect(JSON.parse(text)).toEqual(expected);
});

test('its documentation says what each takes, in the words of its author', async () => {
  const answer = await fetch(`${base}/v1/calls`, { headers: { authorization: `Bearer ${TOKEN}` } });

  const { calls }: { calls: { name: string; doc: string; parameters: { name: string }[] }[] } = JSON.parse(
    await answer.text(),
  );
  const camelize = calls.find((each) => each.name === 'inflection.camelize');
  expect(calls).toHaveLength(10);
  expect(camelize?.doc).toContain('Convert strings to CamelCase');
  expect(camelize?.parameters.map((each) => each.name)).toEqual(['string', 'uppercase_first_letter']);
});

test('what does not fit is refused with the name of the argument', async () => {
  const answer = await fetch(`${base}/v1/call/inflection.camelize`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ strin: 'x' }),
  });

  expect(answer.status).toBe(422);
  const { errors }: { errors: { parameter: string }[] } = JSON.parse(await answer.text());
  expect(errors.map((each) => each.parameter).toSorted()).toEqual(['strin', 'string']);
});
