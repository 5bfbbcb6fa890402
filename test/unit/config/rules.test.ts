import { describe, expect, test } from 'vitest';
import { BROKER, briefly, problemsOf, withServices } from './read.ts';

const STORAGE = 'storage: { root: "s3://bucket/shop" }';
const worker = (on: string, more = ''): string => `worker: { kind: worker, image: app, on: ${on}${more} }`;

/** The problems of these services in words only. */
function words(services: string, rest = STORAGE): readonly string[] {
  return briefly(withServices(services, rest)).map((problem) => problem.replace(/^\S+ /, ''));
}

describe('names', () => {
  test('of a user, a service, a secret, a builder that nothing defines', () => {
    const text = withServices(
      'tiles: { kind: container, image: app, on: [host1], user: ap, dependsOn: [tile], secrets: [API_TOKN] }',
      'secrets: { required: [API_TOKEN] }',
    ).replace('build: {}', 'build: { on: hst1, secrets: [OTHER] }');

    expect(
      problemsOf(text).map((problem) => problem.split('\n').filter((_, index) => index !== 1 && index !== 2)),
    ).toEqual([
      ['cu.config.yaml:3:31 images.app.build.on: no host is called "hst1"', '  did you mean host1?'],
      ['cu.config.yaml:7:60 services.tiles.user: no user is called "ap"', '  did you mean app?'],
      ['cu.config.yaml:7:76 services.tiles.dependsOn.0: no service is called "tile"', '  did you mean tiles?'],
      [
        'cu.config.yaml:7:93 services.tiles.secrets.0: the secret "API_TOKN" is not under secrets.required',
        '  did you mean API_TOKEN? If not, add it there',
      ],
    ]);
  });

  test('a service is not called like a host', () => {
    expect(words('host1: { kind: container, image: app, on: [host1] }')).toEqual([
      'services.host1: is also the name of a host',
    ]);
  });

  test('a service without `on` has to have a single host to run on', () => {
    expect(words('tiles: { kind: container, image: app }')).toEqual([
      'services.tiles: runs on no host: add `on: [host1]`',
    ]);
    expect(
      briefly(
        'project: p\nhosts: { only: {} }\nimages: { app: { build: {} } }\nservices: { tiles: { kind: container } }\n',
      ),
    ).toEqual([]);
  });

  test('a host is given once', () => {
    expect(words('tiles: { kind: container, image: app, on: [host1, host1] }')).toEqual([
      'services.tiles.on.1: the host "host1" is given twice',
    ]);
  });

  test('two containers never get the same name', () => {
    const services =
      'a: { kind: container, image: app, on: [host1], instances: { b-1: {} } }\na-b: { kind: container, image: app, on: [host1], instances: { "1": {} } }';

    expect(words(services)).toEqual([
      'services.a-b.instances.1: its container has the same name as one of a: shop-dev-a-b-1',
    ]);
  });

  test('a name that another container has while it is replaced', () => {
    expect(words(worker('{ host1: { instances: { big: {}, big-new: {}, new: {} } } }'))).toContain(
      'services.worker.on.host1.instances.big-new: its container shop-dev-worker-big-new has the name that shop-dev-worker-big gets while it is replaced',
    );
  });

  test.each([
    ['on: [host1], ports: ["*:80"], rollout: recreate', 'its rollout is recreate'],
    ['on: [host1]', 'it has no `ports`'],
    ['on: [host1], ports: ["*:80"], network: host', 'network: host keeps it from there'],
  ])('a route of a webserver that is not behind the proxy: %s', (more, why) => {
    const found = words(`web: { kind: webserver, image: app, ${more}, route: { hosts: [example.org] } }`);

    expect(found.filter((word) => word.includes('route'))).toEqual([
      expect.stringContaining(`is not behind it: ${why}`),
    ]);
  });

  test('a container name that is too long for a host name', () => {
    const name = 'a'.repeat(40);

    expect(
      words(`${name}: { kind: container, image: app, on: { host1: { instances: { ${'b'.repeat(30)}: {} } } } }`),
    ).toEqual([
      `services.${name}: its container's name would have 80 characters, more than 63: shop-dev-${name}-${'b'.repeat(30)}`,
    ]);
  });

  test('services that wait for each other', () => {
    const services =
      'a: { kind: container, image: app, on: [host1], dependsOn: [b] }\nb: { kind: container, image: app, on: [host1], dependsOn: [a] }';

    expect(words(services)).toEqual(['services.a.dependsOn: depends on itself: a -> b -> a']);
  });
});

describe('hosts', () => {
  test('that jump over each other', () => {
    const text = withServices('tiles: { kind: container, image: app, on: [host1] }').replace(
      /hosts: .*/,
      'hosts: { host1: { proxyJump: host2 }, host2: { proxyJump: [host1] } }',
    );

    expect(briefly(text)).toEqual(['2:30 hosts.host1.proxyJump: jumps over itself: host1 -> host2 -> host1']);
  });

  test('the jump that all share is no jump over itself', () => {
    const text = withServices('tiles: { kind: container, image: app, on: [host1] }', 'ssh: { proxyJump: host1 }');

    expect(briefly(text)).toEqual([]);
  });

  test('a local one takes nothing that SSH does, and "local" is local', () => {
    const text = withServices('tiles: { kind: container, image: app, on: [host1] }').replace(
      /hosts: .*/,
      'hosts: { host1: { connection: local, address: 192.0.2.1 }, local: {} }',
    );

    expect(briefly(text)).toEqual([
      '2:38 hosts.host1.address: "address" is not for connection local',
      '2:60 hosts.local: a host called "local" is this machine',
    ]);
  });
});

describe('ports', () => {
  const web = (name: string, port: string): string =>
    `${name}: { kind: webserver, image: app, on: [host1], ports: ["${port}"] }`;

  test.each([
    ['*:80', '*:80'],
    ['*:80', 'eth1:80:8000'],
    ['127.0.0.1:80', '0.0.0.0:80'],
    ['eth1:80', 'eth1:80'],
  ])('%s and %s on one host', (first, second) => {
    expect(words(`${web('a', first)}\n${web('b', second)}`)).toEqual([
      'services.b.ports.0: port 80 of host1 belongs to a already',
    ]);
  });

  test.each([
    ['eth1:80', 'eth2:80'],
    ['*:80', '*:81'],
  ])('%s and %s are apart', (first, second) => {
    expect(words(`${web('a', first)}\n${web('b', second)}`)).toEqual([]);
  });

  test('replicas share one behind the proxy only', () => {
    const replicas = (more: string): string =>
      `web: { kind: webserver, image: app, on: { host1: { replicas: 3 } }, ports: ["*:80"]${more} }`;

    expect(words(replicas(''))).toEqual([]);
    expect(words(replicas(', rollout: recreate'))).toEqual([
      'services.web.ports.0: port 80 of host1 cannot be held by the instances 1 and 2 at once',
    ]);
  });

  test('behind the proxy one has a certificate for all of its services or for none', () => {
    const named = (name: string, port: string, certificate = ''): string =>
      `${name}: { kind: webserver, image: app, on: [host1], ports: ["${port}"], route: { hosts: [${name}.org]${certificate} } }`;
    const pem = ', certificate: tls.pem';
    const complaint = 'services.b.ports.0: port 443 of host1 has a certificate for';

    expect(words(`${named('a', '*:443', pem)}\n${named('b', '*:443')}`)).toEqual([`${complaint} a and none for b`]);
    expect(words(`${named('a', '*:443')}\n${named('b', '0.0.0.0:443', pem)}`)).toEqual([
      `${complaint} b and none for a`,
    ]);
    expect(words(`${named('a', '*:443', pem)}\n${named('b', '*:443', pem)}`)).toEqual([]);
    expect(words(`${named('a', '*:443', pem)}\n${named('b', '*:80')}`)).toEqual([]);
    expect(words(`${named('a', 'eth1:443', pem)}\n${named('b', '*:443')}`)).toEqual([]);
    expect(
      words(
        named('a', '*:443', pem),
        'environments: { dev: {}, stable: { services: { a: { route: { hosts: [stable.org], certificate: null } } } } }',
      ),
    ).toEqual(['services.a.ports.0: port 443 of host1 has a certificate for a of environment dev and none for a']);
  });

  test('two environments share their hosts', () => {
    expect(words(web('web', '*:80'), 'environments: { dev: { default: true }, stable: {} }')).toEqual([
      'services.web.ports.0: port 80 of host1 belongs to web of environment dev already',
    ]);
    expect(
      words(web('web', '*:80'), 'environments: { dev: {}, stable: { services: { web: { ports: ["*:81"] } } } }'),
    ).toEqual([]);
    expect(
      words(web('web', '*:80'), 'environments: { dev: {}, stable: { hosts: { host1: { address: 192.0.2.99 } } } }'),
    ).toEqual([]);
  });

  test('start-first and the host network leave no room for one', () => {
    expect(words('web: { kind: webserver, image: app, on: [host1], ports: ["*:80"], rollout: start-first }')).toEqual([
      'services.web.rollout: start-first cannot be with a fixed port: the old instance holds it',
    ]);
    expect(words('web: { kind: webserver, image: app, on: [host1], ports: ["*:80"], network: host }')).toEqual([
      'services.web.ports: with network host no port can be published',
    ]);
  });
});

describe('the broker', () => {
  test('is needed by workers, beat and flower', () => {
    expect(
      words(
        `${worker('[host1]')}\nflower: { kind: flower, image: app, on: [host1] }\nbeat: { kind: beat, image: app, on: [host1] }`,
      ),
    ).toEqual([
      'services.worker.kind: a worker needs a broker',
      'services.flower.kind: a flower needs a broker',
      'services.beat.kind: a beat needs a broker',
    ]);
  });

  test('is one, on one host', () => {
    expect(words(`${BROKER}\nother: { kind: redis, on: [host2] }`)).toEqual([
      'services.other.kind: broker is the broker already',
    ]);
    expect(words('broker: { kind: redis, on: [host1, host2] }')).toEqual([
      'services.broker.on.1: the broker runs on one host, not on host1 and host2',
    ]);
    expect(words('broker: { kind: redis, on: { host1: { replicas: 2 } } }')).toEqual([
      'services.broker.on.host1: the broker is one instance, not several on host1',
    ]);
  });

  test('publishes a port that others can reach, when others are elsewhere', () => {
    expect(words(`broker: { kind: redis, on: [host1] }\n${worker('[host2]')}`)).toEqual([
      'services.broker: publishes no port, and worker on host2 needs it',
    ]);
    expect(
      words(`broker: { kind: redis, on: [host1], ports: ["127.0.0.1:6379"] }\n${worker('[host1, host2]')}`),
    ).toEqual(['services.broker.ports.0: 127.0.0.1 is reached from host1 only, and worker on host2 needs the broker']);
    expect(words(`broker: { kind: redis, on: [host1] }\n${worker('[host1]')}`)).toEqual([]);
    expect(words(`${BROKER}\n${worker('[host1, host2]')}`)).toEqual([]);
  });

  test('on this machine needs an address that others know', () => {
    const text = withServices(
      `broker: { kind: redis, on: [local], ports: ["eth1:6379"] }\n${worker('[host1]')}`,
      STORAGE,
    ).replace('hosts: {', 'hosts: { local: { connection: local },');

    expect(briefly(text)).toEqual([
      '2:10 hosts.local: has no `advertise`, and worker on host1 must reach the broker there',
    ]);
  });
});

test('storage is where all that use it are', () => {
  expect(words(`${BROKER}\n${worker('[host1, host2]')}`, '')).toEqual([
    'services.worker: worker on host1 and worker on host2 need storage that both reach, and a volume is on one host only',
  ]);
  expect(words(`${BROKER}\n${worker('[host2]')}`, '')).toEqual([]);
  expect(words(`${BROKER}\n${worker('[host1, host2]')}`, 'storage: none')).toEqual([]);
});

test('beat is one in the fleet', () => {
  expect(words(`${BROKER}\nbeat: { kind: beat, image: app, on: [host1, host2] }`)).toEqual([
    'services.beat.on.1: a second beat would send every task twice: one runs on host1 already',
  ]);
});

test('sshfs is understood, and refused with what to do instead', () => {
  const text = withServices('scans: { kind: sshfs, on: [host2], source: "user@nas:/scans", target: /mnt/scans }');

  expect(problemsOf(text)).toEqual([
    [
      'cu.config.yaml:7:18 services.scans.kind: kind sshfs cannot be run by this version yet',
      '    scans: { kind: sshfs, on: [host2], source: "user@nas:/scans", target: /mnt/scans }',
      '                   ^',
      '  mount the directory on the host itself (sshfs, /etc/fstab) and give it to services with `mounts: ["/DIR:/DIR"]`',
    ].join('\n'),
  ]);
});

test('replicas and instances, mounts in one place, and volumes of cu', () => {
  expect(words('tiles: { kind: container, image: app, on: { host1: { replicas: 2, instances: { a: {} } } } }')).toEqual(
    ['services.tiles.on.host1.replicas: "replicas" and "instances" exclude each other'],
  );
  expect(words('tiles: { kind: container, image: app, on: [host1], mounts: ["a:/x", "b:/x/", "state:/s"] }')).toEqual(
    [
      'services.tiles.mounts.2: the volume "state" belongs to cu',
      'services.tiles.mounts.1: something is mounted at /x already',
    ].sort((a, b) => a.localeCompare(b)),
  );
});
