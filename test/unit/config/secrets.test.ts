import { describe, expect, test } from 'vitest';
import { parseDotenv } from '../../../src/config/dotenv.ts';
import { createSecretStore, missingSecrets } from '../../../src/config/secrets.ts';
import { parsed, withServices } from './read.ts';

function values(text: string): unknown {
  const result = parseDotenv(text);
  return result.type === 'values' ? Object.fromEntries(result.values) : result.error;
}

describe('a secrets file', () => {
  test('has names and values, comments, quotes, and an export that does not matter', () => {
    const text = `\uFEFF# comment\r\nA=1\r\nexport B = two words # comment\nC="a # \\"b\\" \\n c" # comment\nD='$x \\n'\nE=\nF=a#b\nG="line 1\nline 2 "\nH=last`;

    expect(values(text)).toEqual({
      A: '1',
      B: 'two words',
      C: 'a # "b" \n c',
      D: '$x \\n',
      E: '',
      F: 'a#b',
      G: 'line 1\nline 2 ',
      H: 'last',
    });
  });

  test('a line that is none is named without what it holds', () => {
    expect(values('A=1\nhunter2\n')).toEqual({ line: 2, message: 'expected NAME=value' });
    expect(values('A="hunter2\n')).toEqual({ line: 1, message: 'the quote that begins the value of A never ends' });
  });
});

describe('a secret', () => {
  test('comes from the first file that has it, then from the environment', () => {
    const files = [
      { name: 'a.env', values: new Map([['X', 'file a']]) },
      {
        name: 'b.env',
        values: new Map([
          ['X', 'file b'],
          ['Y', ''],
        ]),
      },
    ];
    const store = createSecretStore(files, { X: 'env', Z: 'env', Y: 'env' }, [{ name: 'Z', path: [] }]);

    expect(store.find('X')?.reveal()).toBe('file a');
    expect(store.find('Z')?.reveal()).toBe('env');
    expect(store.find('Y')).toBeUndefined();
    expect(store.find('toString')).toBeUndefined();
    expect(store.all().map((secret) => secret.name)).toEqual(['X', 'Z']);
  });

  test('that is missing is told once, with its place, where it was looked for and what to do', () => {
    const config = parsed(
      withServices(
        'tiles: { kind: container, image: app, on: [host1], secrets: [API_TOKEN, OTHER] }',
        'secrets: { files: [s.env], required: [API_TOKEN] }',
      ),
    );
    const store = createSecretStore([{ name: 's.env', values: new Map([['API_TOKN', 'x']]) }], {}, []);

    const missing = config.environments.flatMap((environment) => missingSecrets(environment, store));

    expect(missing.map(({ code, message, hint }) => [code, message, hint])).toEqual([
      [
        'SECRET_MISSING',
        'cu.config.yaml:5:39 secrets.required.0: the secret API_TOKEN is missing: looked in s.env, then the environment',
        'did you mean API_TOKN?',
      ],
      [
        'SECRET_MISSING',
        'cu.config.yaml:7:75 services.tiles.secrets.1: the secret OTHER is missing: looked in s.env, then the environment',
        'put OTHER=... into s.env, or set it in the environment',
      ],
    ]);
  });
});
