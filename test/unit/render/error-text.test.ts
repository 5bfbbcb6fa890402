import { expect, test } from 'vitest';
import { CuError, CuErrors } from '../../../src/core/error.ts';
import { bugText, errorText } from '../../../src/render/error-text.ts';
import { plainTheme } from '../../../src/render/theme.ts';

test('an error says where, what, with which command, what was answered, and what next', () => {
  const error = new CuError('DOCKER_API', 'start shop-web-1 failed (HTTP 500)', {
    host: 'web-2',
    command: 'docker start shop-web-1',
    detail: 'Bind for 0.0.0.0:80 failed: port is already allocated\n',
  });

  expect(errorText(error, plainTheme).split('\n')).toEqual([
    'cu: web-2: start shop-web-1 failed (HTTP 500)',
    '  $ docker start shop-web-1',
    '  Bind for 0.0.0.0:80 failed: port is already allocated',
    '  hint: something else holds that port on the host: look with `cu status`, or change `ports` in the config',
  ]);
});

test("an error's own hint goes before the table's", () => {
  const error = new CuError('DOCKER_API', 'port is already allocated', { hint: 'stop the other one' });

  expect(errorText(error, plainTheme)).toBe('cu: port is already allocated\n  hint: stop the other one');
});

test('the same error on many hosts is printed once, with their names', () => {
  const errors = ['web-1', 'web-2', 'web-3'].map(
    (host) => new CuError('DISK_FULL', `${host}: 2.0 GB are needed on ${host}`, { host, hint: 'purge' }),
  );
  const other = new CuError('TIMEOUT', 'no answer', { host: 'web-4' });

  expect(errorText(new CuErrors([...errors, other]), plainTheme).split('\n')).toEqual([
    'cu: web-1, web-2, web-3: 2.0 GB are needed on web-1',
    '  hint: purge',
    'cu: web-4: no answer',
  ]);
});

test("a config's problems start their lines with file, line and column", () => {
  const detail = 'cu.config.yaml:4:34 services.web.replics: unknown key\n  replics: 2\n  ^';
  const counted = new CuError('CONFIG_INVALID', '1 problem in cu.config.yaml', { detail });
  const bare = new CuError('CONFIG_INVALID', detail);

  expect(errorText(counted, plainTheme)).toBe(`${detail}\ncu: 1 problem in cu.config.yaml`);
  expect(errorText(bare, plainTheme)).toBe(detail);
});

test('control characters in what a host said are taken out', () => {
  const error = new CuError('COMMAND_FAILED', 'failed', {
    detail: '\u001B]0;title\u0007red \u001B[31malert\u001B[0m\u0008\u202E',
  });

  expect(errorText(error, plainTheme)).toBe('cu: failed\n  red alert');
});

test('a bug brings its stack and asks for a report', () => {
  const text = bugText(new TypeError('x is undefined'), '0.1.0', plainTheme);

  expect(text).toMatch(/^cu: a bug in cu 0\.1\.0\n {2}TypeError: x is undefined\n {2,}at /);
  expect(text).toMatch(/please report it/);
});
