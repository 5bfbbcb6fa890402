import { describe, expect, test } from 'vitest';
import { BROKER, briefly, instance, problemsOf, resolved, withServices } from './read.ts';

const WEB = 'web: { kind: webserver, image: app, on: [host1] }';

/** The problems of these services in words only, with hints. */
function words(services: string, rest = ''): readonly string[] {
  return briefly(withServices(services, rest)).map((problem) => problem.replace(/^\S+ /, ''));
}

function hintsOf(services: string, rest = ''): readonly (string | undefined)[] {
  return problemsOf(withServices(services, rest)).map((problem) => problem.split('\n')[3]?.trim());
}

describe('onFailure', () => {
  test('is rollback where nothing is said, and each environment may say another', () => {
    const text = withServices(
      WEB,
      'environments: { dev: { default: true }, stable: { onFailure: stop }, lab: { onFailure: continue } }',
    );

    expect(['dev', 'stable', 'lab'].map((environment) => resolved(text, { environment }).onFailure)).toEqual([
      'rollback',
      'stop',
      'continue',
    ]);
  });

  test('is one of three words', () => {
    expect(words(WEB, 'onFailure: rolback')).toEqual(['onFailure: expected rollback, stop, continue, got "rolback"']);
    expect(hintsOf(WEB, 'onFailure: rolback')).toEqual(['did you mean rollback?']);
  });
});

describe('rollout', () => {
  const tiles = (rollout: string): string => `tiles: { kind: container, image: app, on: [host1], rollout: ${rollout} }`;

  test.each([
    ['recreate', 'recreate', { type: 'share', share: 0.25 }],
    ['{ strategy: recreate }', 'recreate', { type: 'share', share: 0.25 }],
    ['{ batch: 2 }', 'start-first', { type: 'count', count: 2 }],
    ['{ strategy: recreate, batch: 50% }', 'recreate', { type: 'share', share: 0.5 }],
    ['{}', 'start-first', { type: 'share', share: 0.25 }],
  ])('%s', (rollout, strategy, batch) => {
    expect(instance(withServices(tiles(rollout)), 'host1/tiles/1')).toMatchObject({ rollout: strategy, batch });
  });

  test.each([
    [
      'start-frist',
      'services.tiles.rollout: expected proxy, start-first, recreate, got "start-frist"',
      'did you mean start-first?',
    ],
    ['{ stratgy: recreate }', 'services.tiles.rollout.stratgy: unknown key "stratgy"', 'did you mean strategy?'],
    ['{ batch: 0 }', 'services.tiles.rollout.batch: must be 1 or more, got 0', undefined],
    ['{ batch: "25" }', 'services.tiles.rollout.batch: expected a share such as 25%, got "25"', 'did you mean 25%?'],
    ['{ batch: 0% }', 'services.tiles.rollout.batch: expected a share such as 25%, got "0%"', undefined],
    [
      '{ strategy: proxy }',
      'services.tiles.rollout: proxy is for kind webserver, not for container',
      'use recreate or start-first',
    ],
  ])('%s is refused', (rollout, message, hint) => {
    expect(words(tiles(rollout))).toEqual([message]);
    expect(hintsOf(tiles(rollout))).toEqual([hint]);
  });

  test('an environment may change the batch alone', () => {
    const text = withServices(
      tiles('{ strategy: recreate }'),
      'environments: { dev: { services: { tiles: { rollout: { batch: 3 } } } } }',
    );

    expect(instance(text, 'host1/tiles/1')).toMatchObject({ rollout: 'recreate', batch: { type: 'count', count: 3 } });
  });
});

describe('route', () => {
  const web = (route: string): string =>
    `web: { kind: webserver, image: app, on: [host1], ports: ["*:80"], route: ${route} }`;

  test('is hosts, paths and a certificate, whose path starts at the config', () => {
    const route = '{ hosts: [www.example.org, "*.example.org"], paths: [/api, /], certificate: tls/site.pem }';

    expect(instance(withServices(web(route)), 'host1/web/1').route).toEqual({
      hosts: ['www.example.org', '*.example.org'],
      paths: ['/api', '/'],
      certificate: '/project/tls/site.pem',
    });
    expect(instance(withServices(WEB), 'host1/web/1').route).toBeUndefined();
  });

  test.each([
    [
      '{ hosts: [WWW.example.org] }',
      'hosts.0: expected a name such as www.example.org or *.example.org, got "WWW.example.org"',
      'did you mean www.example.org?',
    ],
    [
      '{ hosts: ["https://example.org/"] }',
      'hosts.0: expected a name such as www.example.org or *.example.org, got "https://example.org/"',
      'did you mean example.org?',
    ],
    ['{ hosts: ["a b"] }', 'hosts.0: expected a name such as www.example.org or *.example.org, got "a b"', undefined],
    ['{ hosts: ["*"] }', 'hosts.0: expected a name such as www.example.org or *.example.org, got "*"', undefined],
    [
      '{ hosts: ["a.*.org"] }',
      'hosts.0: expected a name such as www.example.org or *.example.org, got "a.*.org"',
      undefined,
    ],
    [
      '{ hosts: ["-a.org"] }',
      'hosts.0: expected a name such as www.example.org or *.example.org, got "-a.org"',
      undefined,
    ],
    [
      '{ hosts: ["a.org\\nb"] }',
      'hosts.0: expected a name such as www.example.org or *.example.org, got "a.org\\nb"',
      undefined,
    ],
    ['{ hosts: [a.org, a.org] }', 'hosts.1: is given twice', undefined],
    ['{ paths: [api] }', 'paths.0: expected the beginning of a path, such as /api, got "api"', 'did you mean /api?'],
    ['{ paths: [/a/../b] }', 'paths.0: expected the beginning of a path, such as /api, got "/a/../b"', undefined],
    ['{ paths: ["/a //b"] }', 'paths.0: expected the beginning of a path, such as /api, got "/a //b"', undefined],
    ['{ paths: ["/a}"] }', 'paths.0: expected the beginning of a path, such as /api, got "/a}"', undefined],
    ['{ certificat: a.pem }', 'certificat: unknown key "certificat"', 'did you mean certificate?'],
  ])('%s is refused', (route, message, hint) => {
    expect(words(web(route))).toEqual([`services.web.route.${message}`]);
    expect(hintsOf(web(route))).toEqual([hint]);
  });

  test('is for webservers only', () => {
    expect(words('tiles: { kind: container, image: app, on: [host1], route: { paths: [/a] } }')).toEqual([
      'services.tiles.route: unknown key "route"',
    ]);
  });

  test('leads to one service', () => {
    const other =
      'other: { kind: webserver, image: app, on: [host1], ports: ["*:80"], route: { hosts: [b.org, a.org] } }';

    expect(words(`${web('{ hosts: [a.org] }')}\n${other}`, 'storage: none')).toEqual([
      'services.other.ports.0: port 80 of host1 belongs to web already',
    ]);
    expect(words(`${web('{ hosts: [a.org], paths: [/api] }')}\n${other}`, 'storage: none')).toEqual([]);
  });
});

describe('tasks', () => {
  const tasks = (list: string): string => `tasks: { beforeSwitch: ${list} }`;

  test('a task is a command alone or with its service and timeout', () => {
    const text = withServices(
      `${BROKER}\nworker: { kind: worker, image: app, on: [host1] }\n${WEB}`,
      tasks('[[python, -m, migrate], { service: worker, command: [seed, 1], timeout: 90s }, { command: [warm] }]'),
    );

    expect(resolved(text).tasks).toEqual([
      { service: 'web', command: ['python', '-m', 'migrate'], timeoutMs: 600_000 },
      { service: 'worker', command: ['seed', '1'], timeoutMs: 90_000 },
      { service: 'web', command: ['warm'], timeoutMs: 600_000 },
    ]);
  });

  test.each([
    [`${BROKER}\nworker: { kind: worker, image: app, on: [host1] }`, 'worker'],
    ['cache: { kind: container, image: r, on: [host1] }\ntiles: { kind: container, image: app, on: [host1] }', 'tiles'],
  ])('without a webserver its service is a worker, then one whose image is built', (services, expected) => {
    const text = withServices(services, tasks('[[x]]')).replace(
      'app: { build: {} }',
      'app: { build: {} }, r: { ref: r }',
    );

    expect(resolved(text).tasks[0]?.service).toBe(expected);
  });

  test.each([
    [
      '[{ service: wbe, command: [x] }]',
      'tasks.beforeSwitch.0.service: no service is called "wbe"',
      'did you mean web?',
    ],
    [
      '[{ service: web }]',
      'tasks.beforeSwitch.0.command: is missing: expected a list of words, such as [python, -m, tiles]',
      undefined,
    ],
    ['[{ comand: [x] }]', 'tasks.beforeSwitch.0.comand: unknown key "comand"', 'did you mean command?'],
    [
      '[migrate]',
      'tasks.beforeSwitch.0: expected a command such as [python, -m, migrate], or { service, command, timeout }, got "migrate"',
      undefined,
    ],
    [
      'migrate',
      'tasks.beforeSwitch: expected a list of commands, such as [[python, -m, migrate]], got "migrate"',
      undefined,
    ],
    ['[[]]', 'tasks.beforeSwitch.0: expected at least one word, got a list', undefined],
    [
      '[{ command: [x], timeout: 10 }]',
      'tasks.beforeSwitch.0.timeout: expected a duration such as 30s or 10m, got 10',
      'did you mean 10s?',
    ],
    [
      '[{ command: [x], timeout: 0s }]',
      'tasks.beforeSwitch.0.timeout: must be between 1s and 24h, got "0s"',
      undefined,
    ],
    [
      '[{ command: [x], timeout: 2d }]',
      'tasks.beforeSwitch.0.timeout: must be between 1s and 24h, got "2d"',
      undefined,
    ],
  ])('%s is refused', (list, message, hint) => {
    expect(words(WEB, tasks(list))).toContain(message);
    expect(hintsOf(WEB, tasks(list))).toContain(hint);
  });

  test('an unknown moment is refused', () => {
    expect(words(WEB, 'tasks: { afterSwitch: [[x]] }')).toEqual(['tasks.afterSwitch: unknown key "afterSwitch"']);
  });

  test('a service that could have one has to be there', () => {
    const text = withServices('cache: { kind: redis, on: [host1] }', tasks('[[x]]'));

    expect(briefly(text).map((problem) => problem.replace(/^\S+ /, ''))).toEqual([
      'tasks.beforeSwitch.0: names no service, and there is no webserver, no worker and no image that is built',
    ]);
  });

  test('no service has the names of its containers', () => {
    const task = 'task: { kind: container, image: app, on: [host1] }';

    expect(words(task)).toEqual([]);
    expect(words(task, tasks('[[x]]'))).toEqual([
      'services.task: beside `tasks`, no service can be called "task": their containers would have the same names',
    ]);
  });

  test('an environment may go without, or have its own', () => {
    const text = withServices(
      WEB,
      `environments: { dev: { tasks: null }, stable: { tasks: { beforeSwitch: [[other]] } } }\n${tasks('[[x]]')}`,
    );

    expect(resolved(text, { environment: 'dev' }).tasks).toEqual([]);
    expect(resolved(text, { environment: 'stable' }).tasks.map(({ command }) => command)).toEqual([['other']]);
  });
});

describe('hooks', () => {
  test('a hook is one command or several', () => {
    const text = withServices(WEB, 'hooks: { beforeDeploy: [./check.sh, 1], onFailure: [[a], [b, c]] }');

    expect(resolved(text).hooks).toMatchObject({
      commands: { beforeDeploy: [['./check.sh', '1']], afterDeploy: [], onFailure: [['a'], ['b', 'c']] },
      directory: '/project',
    });
  });

  test('none of them gets to see a secret', () => {
    const text = withServices(WEB, 'secrets: { required: [API_TOKEN] }');

    const { withheld } = resolved(text, { secrets: { API_TOKEN: 'a', BROKER_PASSWORD: 'b' } }).hooks;

    expect(withheld.map(({ name }) => name)).toContain('BROKER_PASSWORD');
  });

  test.each([
    [
      '{ beforeDeploy: ./check.sh }',
      'hooks.beforeDeploy: expected a command such as [./notify.sh], or a list of commands, got "./check.sh"',
    ],
    [
      '{ beforeDeploy: [[a], b] }',
      'hooks.beforeDeploy: expected a command such as [./notify.sh], or a list of commands, got a list',
    ],
    ['{ beforDeploy: [a] }', 'hooks.beforDeploy: unknown key "beforDeploy"'],
    ['[a]', 'hooks: expected a map, got a list'],
  ])('%s is refused', (hooks, message) => {
    expect(words(WEB, `hooks: ${hooks}`)).toEqual([message]);
  });
});
