import { expect, test } from 'vitest';
import { problemError, readProblem } from '../../../src/app/web-problem.ts';
import type { CuError } from '../../../src/core/error.ts';

const AT = { what: 'tiles', service: 'site', host: 'host1', hasToken: true, searched: '.cu/secrets.env' };

function errorOf(statusCode: number, problem: object, changes: Partial<typeof AT> = {}): CuError {
  const body = JSON.stringify({
    type: 'about:blank',
    title: 'Title',
    status: statusCode,
    request_id: 'r1',
    ...problem,
  });
  return problemError(readProblem(statusCode, 'application/problem+json', body), { ...AT, ...changes });
}

test('422 names the argument', () => {
  const error = errorOf(422, { detail: 'x: missing', errors: [{ parameter: 'x', message: 'missing' }] });

  expect(error).toMatchObject({ exitCode: 2, message: 'tiles: argument x: missing' });
  expect(error.hint).toContain('cu call --help tiles');
});

test('422 for several arguments names each', () => {
  const errors = [
    { parameter: 'x', message: 'missing' },
    { parameter: 'z', message: 'tiles has no such argument; it takes x' },
  ];

  const error = errorOf(422, { errors });

  expect(error).toMatchObject({ exitCode: 2, message: 'tiles: 2 arguments are wrong' });
  expect(error.detail).toBe('x: missing\nz: tiles has no such argument; it takes x');
});

test.each([
  [401, true, 'site does not know the token in the secret API_TOKEN'],
  [401, false, 'site wants a token, and the secret API_TOKEN is missing: looked in .cu/secrets.env'],
  [403, true, 'tiles is not allowed with the token in the secret API_TOKEN: no'],
  [403, false, 'tiles is not allowed without the secret API_TOKEN: no'],
])('%i with a token: %s, names the secret', (statusCode, hasToken, message) => {
  expect(errorOf(statusCode, { detail: 'no' }, { hasToken })).toMatchObject({ exitCode: 2, message });
});

test.each([
  [410, 'call it again'],
  [413, 'raise CU_MAX_UPLOAD'],
  [500, '`cu logs site --grep r1` may say more'],
  [503, 'nothing was lost: try again'],
])('%i: what was said, the request and what to do', (statusCode, hint) => {
  const error = errorOf(statusCode, { detail: 'this is why' });

  expect(error).toMatchObject({ exitCode: 4, statusCode, host: 'host1', message: 'tiles: this is why' });
  expect(error.detail).toBe(`HTTP ${statusCode} Title, request r1`);
  expect(error.hint).toContain(hint);
});

test.each([
  ['text/html', '<h1>Not Found</h1>'],
  ['application/problem+json', 'half a probl'],
])('a 404 of another server says that it is none of ours: %s', (type, body) => {
  const error = problemError(readProblem(404, type, body), AT);

  expect(error).toMatchObject({ exitCode: 4, message: expect.stringContaining('not as the runtime of cu does') });
});

test('a problem of a wrong shape has its status', () => {
  const found = readProblem(500, 'application/problem+json', '{"detail": 3, "errors": "all"}');

  expect(problemError(found, AT)).toMatchObject({ exitCode: 4, message: 'tiles: HTTP 500' });
});
