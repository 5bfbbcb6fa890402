import { describe, expect, test } from 'vitest';
import { BROKER, briefly, problemsOf, withServices } from './read.ts';

describe('what is wrong is shown with its place, its line and what may be meant', () => {
  test('an unknown key, with a suggestion', () => {
    const text = withServices('web: { kind: webserver, image: app, on: [host1], replics: 2 }');

    expect(problemsOf(text)).toEqual([
      [
        'cu.config.yaml:7:52 services.web.replics: unknown key "replics"',
        '    web: { kind: webserver, image: app, on: [host1], replics: 2 }',
        '                                                     ^',
        '  did you mean replicas?',
      ].join('\n'),
    ]);
  });

  test('an unknown kind, and a unit in capitals, in one go', () => {
    const text = withServices(
      'broker: { kind: reddis, on: [host1] }\ntiles: { kind: container, image: app, on: [host1], memory: 2G }',
    );

    expect(problemsOf(text)).toEqual([
      [
        'cu.config.yaml:7:19 services.broker.kind: expected beat, container, flower, redis, sshfs, webserver, worker, got "reddis"',
        '    broker: { kind: reddis, on: [host1] }',
        '                    ^',
        '  did you mean redis?',
      ].join('\n'),
      [
        'cu.config.yaml:8:62 services.tiles.memory: expected an amount such as 2g (6m or more), or a share of the host such as 70%, got "2G"',
        '    tiles: { kind: container, image: app, on: [host1], memory: 2G }',
        '                                                               ^',
        '  did you mean 2g?',
      ].join('\n'),
    ]);
  });

  test('a wrong type and a broken rule are told together', () => {
    const text = withServices(
      'web: { kind: webserver, image: app, on: [host1], port: 1 }\ntiles: { kind: container, image: ap, on: [hots1] }',
    );

    expect(briefly(text)).toEqual([
      '7:52 services.web.port: unknown key "port"',
      '8:36 services.tiles.image: no image is called "ap"',
      '8:45 services.tiles.on.0: no host is called "hots1"',
    ]);
  });

  test('tabs in a line keep the caret in its place, and control characters never reach the terminal', () => {
    const text = 'project: shop\nhosts: {}\nservices: {\t"a\u200Bb": 1 }\n';

    expect(problemsOf(text)).toEqual([
      [
        'cu.config.yaml:3:13 services."a?b": expected a name of a-z, 0-9 and - that begins with a letter, got "a?b"',
        '  services: { "a?b": 1 }',
        '              ^',
      ].join('\n'),
    ]);
  });

  test('a very long line is shown around what is wrong', () => {
    const text = withServices(
      `web: { kind: webserver, image: app, on: [host1], env: { A: "${'x'.repeat(5000)}" }, replics: 2 }`,
    );

    const [problem = ''] = problemsOf(text);

    expect(problem.split('\n').every((line) => line.length < 200)).toBe(true);
    expect(problem).toContain('replics: 2 }\n');
    expect(problem).toContain('did you mean replicas?');
  });
});

describe('values', () => {
  const service = (setting: string): readonly string[] => {
    const text = withServices(`tiles: { kind: container, image: app, on: [host1], ${setting} }`);
    return problemsOf(text).map((problem) => {
      const [first = '', , , hint] = problem.split('\n');
      return `${first.replace(/^\S+ services\.tiles\./, '')}${hint === undefined ? '' : ` |${hint}`}`;
    });
  };

  test.each([
    [
      'memory: 512',
      'memory: expected an amount such as 2g (6m or more), or a share of the host such as 70%, got 512 |  did you mean 512m?',
    ],
    [
      'memory: 2gb',
      'memory: expected an amount such as 2g (6m or more), or a share of the host such as 70%, got "2gb" |  did you mean 2g?',
    ],
    ['memory: 1m', 'memory: expected an amount such as 2g (6m or more), or a share of the host such as 70%, got "1m"'],
    [
      'memory: 170%',
      'memory: expected an amount such as 2g (6m or more), or a share of the host such as 70%, got "170%"',
    ],
    ['drain: 10', 'drain: expected a duration such as 30s or 10m, got 10 |  did you mean 10s?'],
    ['drain: 30d', 'drain: expected a duration such as 30s or 10m, got "30d" |  the longest that there is, is 24d'],
    ['drain: 10 min', 'drain: expected a duration such as 30s or 10m, got "10 min" |  did you mean 10m?'],
    [
      'ports: [8080]',
      'ports.0: expected INTERFACE|ADDRESS|*:PORT[:CONTAINER_PORT], got 8080 |  write "*:8080" to listen on all addresses',
    ],
    [
      'ports: ["8080:80"]',
      'ports.0: expected INTERFACE|ADDRESS|*:PORT[:CONTAINER_PORT], got "8080:80" |  write "*:8080:80" to listen on all addresses',
    ],
    ['ports: ["*:70000"]', 'ports.0: expected INTERFACE|ADDRESS|*:PORT[:CONTAINER_PORT], got "*:70000"'],
    [
      'command: python -m tiles',
      'command: expected a list of words, such as [python, -m, tiles], got "python -m tiles"',
    ],
    [
      'mounts: ["./data:/data"]',
      'mounts.0: expected NAME:/path or /host/path:/path, with :ro or :rw at the end if need be, got "./data:/data" |  the path is one of the host: it begins with /',
    ],
    ['replicas: 0', 'replicas: must be 1 or more, got 0'],
    ['replicas: 1.5', 'replicas: expected a whole number, got 1.5'],
    ['readOnly: yes', 'readOnly: expected true or false, got "yes"'],
    ['restart: never', 'restart: expected no, on-failure, always, unless-stopped, got "never"'],
    ['stopSignal: quit', 'stopSignal: expected a signal such as SIGTERM, got "quit" |  did you mean SIGQUIT?'],
    [
      'labels: { cu.project: x }',
      'labels."cu.project": labels that begin with "cu." are set by cu itself, got "cu.project"',
    ],
    ['health: { type: tcp, path: / }', 'health.path: "path" is not for type tcp'],
    ['health: { type: command }', 'health: type command needs a command'],
    [
      'health: { type: http }',
      'health: type http needs a port: none is published |  add `port:`, the one inside the container',
    ],
    ['env: { A: [1] }', 'env.A: expected a text, a number, true or false, got a list'],
    ['env: { A: }', 'env.A: expected a text, a number, true or false, got nothing'],
    ['gpus: some', 'gpus: expected all, a number, or a list of devices, got "some"'],
  ])('%s', (setting, problem) => {
    expect(service(setting)).toEqual([problem]);
  });

  test.each([
    'cpus: 2.0',
    'cpus: 0.5',
    'ports: ["[::1]:80"]',
    'gpus: [GPU-1]',
    'ulimits: { core: -1 }',
    'drain: 1h30m',
    'env: { A: true }',
  ])('%s is fine', (setting) => {
    expect(service(setting)).toEqual([]);
  });
});

test('what is required and missing is named at what lacks it', () => {
  expect(briefly('hosts: {}\n')).toEqual([
    '1:1 project: is missing: expected a name of a-z, 0-9 and - that begins with a letter',
    '1:1 services: is missing',
  ]);
  expect(briefly('project: shop\nhosts: { host1: {} }\nservices: { web: { on: [host1] } }\n')).toEqual([
    '3:13 services.web.kind: is missing: expected beat, container, flower, redis, sshfs, webserver, worker',
  ]);
});

test('an image is used as it is or built, not both and not neither', () => {
  const text = withServices(BROKER).replace(
    '{ app: { build: {} } }',
    '{ app: { ref: a, build: {} }, b: {}, c: { repository: "x:1", build: {} } }',
  );

  expect(briefly(text)).toEqual([
    '3:26 images.app.build: "build" and "ref" exclude each other',
    '3:42 images.b: needs `ref` (an image to use as it is) or `build` (how to make it)',
    '3:63 images.c.repository: expected a lower-case image name without a tag, got "x:1"',
  ]);
});
