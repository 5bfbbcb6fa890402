import { expect, test } from 'vitest';
import { brokerReference, testedImage } from '../../../src/app/test-image.ts';
import { commandOf } from '../../../src/app/run-tests.ts';
import { isOver, newRun } from '../../../src/app/throwaway-leftovers.ts';
import type { Desired } from '../../../src/core/state.ts';
import { resolved } from '../config/read.ts';

const SERVICES = `
services:
  broker: { kind: redis, on: [host1] }
  site: { kind: webserver, image: app, ports: ["*:80"], on: [host1] }
  other: { kind: container, image: tool, on: [host1] }
`;

function desired(images: string, services = SERVICES): Desired {
  return resolved(`project: shop\nstorage: none\nhosts: { host1: {} }\nimages: ${images}\n${services}`);
}

const BUILT = '{ repository: x, build: {} }';

test('the image of workers and webservers is tested, else the only one that is built, else the one that is named', () => {
  const two = desired(`{ app: ${BUILT}, tool: ${BUILT} }`);

  expect(testedImage(two, undefined)).toMatchObject({ source: { name: 'app' }, instance: { service: 'site' } });
  expect(testedImage(two, 'tool')).toMatchObject({ source: { name: 'tool' }, instance: { service: 'other' } });
  expect(testedImage(desired(`{ app: { ref: a }, tool: ${BUILT} }`), undefined).source.name).toBe('tool');
});

test('an image that nothing runs can be tested too', () => {
  const images = `{ app: ${BUILT}, tool: ${BUILT}, tests: ${BUILT} }`;

  expect(testedImage(desired(images), 'tests')).toMatchObject({ source: { name: 'tests' }, instance: undefined });
});

test.each([
  [`{ app: { ref: a }, tool: { ref: b } }`, undefined, 'no image is built here', 'give one a `build`'],
  [`{ app: ${BUILT}, tool: ${BUILT} }`, 'tol', 'no image called tol is built here', 'did you mean tool?'],
  [`{ app: { ref: a }, tool: ${BUILT}, more: ${BUILT} }`, undefined, 'several images are built', 'tool, more'],
])('with the images %s, asked for %s, it is refused', (images, named, message, hint) => {
  expect(() => testedImage(desired(images), named)).toThrow(
    expect.objectContaining({
      code: 'USAGE',
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    }),
  );
});

test('the throwaway broker is of the image of the project, if that is not built', () => {
  const images = (redis: string): string => `{ app: ${BUILT}, tool: ${BUILT}, redis: ${redis} }`;

  expect(brokerReference(desired(`{ app: ${BUILT}, tool: ${BUILT} }`))).toBe('redis:8');
  expect(brokerReference(desired(images('{ ref: "redis:7" }')))).toBe('redis:7');
  expect(brokerReference(desired(images(BUILT)))).toBe('redis:8');
});

test('words that begin with a dash are for pytest, others are the command', () => {
  const pytest = commandOf([]);

  expect(pytest.slice(0, 4)).toEqual(['python', '-m', 'pytest', '-q']);
  expect(commandOf(['-k', 'fast'])).toEqual([...pytest, '-k', 'fast']);
  expect(commandOf(['make', '-k'])).toEqual(['make', '-k']);
});

const NOW = Date.parse('2026-11-23T10:00:00Z');
const MINUTE_MS = 60_000;

test.each([
  ['running', false],
  ['exited', true],
  ['dead', true],
])('a run whose broker is %s is over: %j', (state, over) => {
  const run = newRun(NOW);
  const broker = { id: 'a', run, isBroker: true, state };

  expect(isOver(run, { containers: [broker, { ...broker, isBroker: false, state: 'running' }] }, NOW)).toBe(over);
});

test('a run without a broker is over once it cannot be beginning any more', () => {
  const run = newRun(NOW);
  const created = { id: 'a', run, isBroker: true, state: 'created' };
  const foreign = { id: 'b', run: newRun(NOW + 1), isBroker: true, state: 'running' };

  for (const containers of [[], [created], [foreign]]) {
    expect(isOver(run, { containers }, NOW + MINUTE_MS)).toBe(false);
    expect(isOver(run, { containers }, NOW + 11 * MINUTE_MS)).toBe(true);
  }
  expect(isOver('no time in it', { containers: [] }, NOW)).toBe(true);
});
