import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { request as plainRequest } from 'node:http';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Container, Scenario } from '../support/scenario.ts';

/** What the proxy of a host leads where: names, paths, certificates, replicas, and after a reboot. */
const PROJECT = 'e2e-proxy';
const HEALTH = 'health: { type: http, path: /healthz, stable: 300ms }';
const CONFIG = `
storage: none
images: { app: { repository: ${PROJECT}, build: { context: . } } }
services:
  shop: { kind: webserver, image: app, command: [sh, /app.sh], env: { NAME: shop }, on: [host2], ports: ["*:8591"], route: { hosts: [shop.example.org] }, drain: 2s, ${HEALTH} }
  api: { kind: webserver, image: app, command: [sh, /app.sh], env: { NAME: api }, on: [host2], replicas: 2, ports: ["*:8591"], route: { hosts: [shop.example.org], paths: [/api] }, drain: 2s, ${HEALTH} }
  any: { kind: webserver, image: app, command: [sh, /app.sh], env: { NAME: any }, on: [host2], ports: ["0.0.0.0:8591"], drain: 20s, health: { type: http, path: /nowhere, status: 404, stable: 300ms } }
  safe: { kind: webserver, image: app, command: [sh, /app.sh], env: { NAME: safe }, on: [host2], ports: ["*:8592"], route: { certificate: site.pem }, drain: 2s, ${HEALTH} }
`;
/** Answers with its service and instance, at any path. */
const APP = (SMALL_APP['app.sh'] ?? '').replace(
  'echo $VERSION > /tmp/www/index.html',
  'mkdir -p /tmp/www/api; for f in /tmp/www /tmp/www/api; do echo "$NAME $CU_INSTANCE $VERSION" > $f/index.html; done; [ -z "$MORE" ] || httpd -p $MORE -h /tmp/www; mkdir -p /tmp/www/cgi-bin; printf "#!/bin/sh\\nsleep 8; echo; echo slow\\n" > /tmp/www/cgi-bin/slow; chmod +x /tmp/www/cgi-bin/slow',
);

let scenario: Scenario;
let address = '';

beforeAll(async () => {
  scenario = await startScenario({ project: PROJECT, config: CONFIG, files: { ...SMALL_APP, 'app.sh': APP } });
  address = scenario.testbed.hosts.find(({ name }) => name === 'host2')?.address ?? '';
  await makeCertificate('first.example.org');
  await deploy();
});

afterAll(() => scenario[Symbol.asyncDispose]());

async function deploy(): Promise<string> {
  const deployed = await scenario.cu('deploy');
  expect(deployed.exitCode, deployed.all).toBe(0);
  return deployed.all;
}

/** Certificate and key in one file, as HAProxy wants them. */
async function makeCertificate(name: string): Promise<void> {
  const files = { key: join(scenario.directory, 'site.key'), certificate: join(scenario.directory, 'site.crt') };
  const words = 'req -x509 -newkey rsa:2048 -nodes -days 1'.split(' ');
  const named = ['-subj', `/CN=${name}`, '-keyout', files.key, '-out', files.certificate];
  await promisify(execFile)('openssl', [...words, ...named]);
  const [key, certificate] = await Promise.all([readFile(files.key, 'utf8'), readFile(files.certificate, 'utf8')]);
  await scenario.write('site.pem', certificate + key);
}

async function get(path: string, host: string, port = 8591, timeout = 5000): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = plainRequest({ host: address, port, path, headers: { host }, timeout }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      answer.on('end', () => resolve(`${answer.statusCode} ${text.trim()}`));
    });
    asked.on('error', reject).end();
  });
}

/** Asks for a path again and again; what it was answered, errors included, until it is told to stop. */
function startAsking(path: string): { readonly seen: readonly string[]; readonly stop: () => Promise<void> } {
  const seen: string[] = [];
  const isDone = new AbortController();
  const asking = (async () => {
    while (!isDone.signal.aborted) seen.push(await get(path, 'shop.example.org').catch(String));
  })();
  return {
    seen,
    stop: () => {
      isDone.abort();
      return asking;
    },
  };
}

/** The name in the certificate that the proxy shows, and the body. */
async function getSafely(): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { host: address, port: 8592, path: '/', rejectUnauthorized: false, agent: false, timeout: 5000 };
    const asked = request(options, (answer) => {
      const { socket } = answer;
      const name = socket instanceof TLSSocket ? String(socket.getPeerCertificate().subject.CN) : '';
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      answer.on('end', () => resolve(`${name} ${text.trim()}`));
    });
    asked.on('error', reject).end();
  });
}

test('names and paths lead to their services, replicas share one route, and what is left goes to the rest', async () => {
  expect(await get('/', 'shop.example.org')).toBe('200 shop 1 one');
  expect(await get('/', 'shop.example.org:8591')).toBe('200 shop 1 one');
  expect(await get('/', 'other.example.org')).toBe('200 any 1 one');
  const answers = new Set<string>();
  for (let count = 0; count < 20; count += 1) answers.add(await get('/api/', 'shop.example.org'));
  expect([...answers].toSorted()).toEqual(['200 api 1 one', '200 api 2 one']);
  // A path is a folder, not the beginning of a word.
  expect(await get('/apix', 'shop.example.org')).toMatch(/^404/);
});

test('the access log has the requests of this project, each with the instance that answered', async () => {
  await get('/api/?seen=by-the-proxy', 'shop.example.org');

  const line = await eventually(async () => {
    const { stdout } = await scenario.cu('logs', 'api', '--access', '--grep', 'seen=by-the-proxy');
    expect(stdout).not.toBe('');
    return stdout;
  });

  expect(line).toMatch(
    /^host2\/api\/[12] +\| \S+ \[.*\] port-any-8591 \S+-api-\d+\/[12]-a .* 200 .*"GET \/api\/\?seen=by-the-proxy/,
  );
  const { stdout: others } = await scenario.cu('logs', 'safe', '--access');
  expect(others).not.toContain('seen=by-the-proxy');
});

test('a certificate is served, and another one takes its place without a gap', async () => {
  expect(await getSafely()).toBe('first.example.org safe 1 one');
  await makeCertificate('second.example.org');
  const seen: string[] = [];
  const isDone = new AbortController();
  const asking = (async () => {
    while (!isDone.signal.aborted) seen.push(await getSafely());
  })();

  const said = await deploy();
  await eventually(() => expect(seen.at(-1)).toBe('second.example.org safe 1 one'));
  isDone.abort();
  await asking;

  expect(said).not.toContain('replaced');
  expect(new Set(seen)).toEqual(new Set(['first.example.org safe 1 one', 'second.example.org safe 1 one']));
  const { stdout } = await scenario.testbed.exec('host2', ['docker', 'exec', 'cu-proxy', 'ls', '/etc/cu-proxy/certs']);
  expect(stdout).toContain(`${PROJECT}-dev-safe-`);
});

test('a certificate without its key is refused before any host is touched', async () => {
  const pem = await scenario.read('site.pem');
  await scenario.write('site.pem', pem.replace(/-----BEGIN PRIVATE KEY[\s\S]*/, ''));

  const refused = await scenario.cu('deploy');

  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toContain('site.pem holds no private key');
  await scenario.write('site.pem', pem);
});

test('after a reboot of the host the proxy leads to what served last', async () => {
  await scenario.write('app.sh', APP.replace('VERSION=one', 'VERSION=two'));
  await deploy();
  expect(await get('/', 'shop.example.org')).toBe('200 shop 1 two');

  await scenario.docker('host2', 'restart', '-t', '1', 'cu-proxy');

  await eventually(async () => expect(await get('/', 'shop.example.org')).toBe('200 shop 1 two'));
  expect(await scenario.cu('deploy')).toMatchObject({ exitCode: 0, stdout: 'nothing to do' });
});

test('an instance that crashes is no longer asked, and is again once it is back', async () => {
  await scenario.docker('host2', 'kill', `${PROJECT}-dev-any-1`);
  await eventually(async () => expect(await get('/', 'other.example.org')).toMatch(/^503/));

  await scenario.docker('host2', 'start', `${PROJECT}-dev-any-1`);

  await eventually(async () => expect(await get('/', 'other.example.org')).toBe('200 any 1 two'));
});

test.each([
  ['a single webserver is restarted', 'shop', '/', ['200 shop 1 two']],
  ['replicas are restarted one after the other', 'api', '/api/', ['200 api 1 two', '200 api 2 two']],
])('%s, and no request fails', async (_, service, path, answers) => {
  const before = await scenario.containers('host2');
  const { stop, seen } = startAsking(path);

  const restarted = await scenario.cu('restart', service);
  await stop();

  expect(restarted.exitCode, restarted.all).toBe(0);
  expect([...new Set(seen)].toSorted()).toEqual(answers);
  const after = await scenario.containers('host2');
  const isOf = ({ name }: Container): boolean => name.includes(`-${service}-`);
  expect(after.filter(isOf).map(({ name, state }) => [name, state])).toEqual(
    before.filter(isOf).map(({ name }) => [name, 'running']),
  );
  expect(before.filter(isOf).some(({ id }) => after.some((each) => each.id === id))).toBe(false);
  expect(await scenario.cu('deploy')).toMatchObject({ exitCode: 0, stdout: 'nothing to do' });
});

test.each([
  ['another port', '/api/', ['200 api 1 two', '200 api 2 two'], '"*:8591"', '"*:8591:9000"'],
  ['one port more', '/api/', ['200 api 1 two', '200 api 2 two'], '"*:8591:9000"', '"*:8591:9000", "*:8594:9001"'],
  ['one port less', '/api/', ['200 api 1 two', '200 api 2 two'], '"*:8591:9000", "*:8594:9001"', '"*:8591:9001"'],
])('replicas get %s, and no request fails', async (_, path, answers, from, to) => {
  const change = (line: string): string =>
    line.replace('env: { NAME: api }', 'env: { NAME: api, MORE: 9001 }').replace(from, to);
  const config = await scenario.read('cu.config.yaml');
  await scenario.write('cu.config.yaml', config.replace(/^ {2}api: .*$/m, change));
  const { stop, seen } = startAsking(path);

  await deploy();
  await stop();

  expect([...new Set(seen)].toSorted()).toEqual(answers);
  const more = get(path, 'shop.example.org', 8594);
  if (to.includes('8594')) expect(await more).toMatch(/^200 api [12] two$/);
  else await expect(more).rejects.toThrow();
  expect(await scenario.cu('deploy')).toMatchObject({ exitCode: 0, stdout: 'nothing to do' });
});

test('where there is no memory for one more, replicas are stopped first without a request that fails', async () => {
  const config = await scenario.read('cu.config.yaml');
  await scenario.write('cu.config.yaml', config.replace('env: { NAME: api, MORE: 9001 }', 'memory: 40%, $&'));
  await deploy();
  await scenario.write('app.sh', APP.replace('VERSION=one', 'VERSION=four'));
  const { stop, seen } = startAsking('/api/');

  const deployed = await deploy();
  await stop();

  expect(deployed).toContain('-dev-api-1 (new version');
  expect(deployed).toContain('stop first: no memory for two');
  const versions = new Set(seen.map((answer) => answer.replace(/ api [12] /, ' ')));
  expect([...versions].toSorted()).toEqual(['200 four', '200 two']);
  await scenario.write('cu.config.yaml', config);
  await scenario.write('app.sh', APP.replace('VERSION=one', 'VERSION=two'));
  await deploy();
});

test('a port of the loopback that something else holds is exchanged for another', async () => {
  const state = await scenario.docker('host2', 'exec', 'cu-proxy', 'cat', `/etc/cu-proxy/routes/${PROJECT}-dev.json`);
  const {
    routes,
  }: { routes: { service: string; servers: { live: 'a' | 'b'; ports: Record<'a' | 'b', number> }[] }[] } =
    JSON.parse(state);
  const server = routes.find(({ service }) => service === 'any')?.servers[0];
  const next = server?.ports[server.live === 'a' ? 'b' : 'a'] ?? 0;
  const image = await scenario.docker('host2', 'inspect', '--format', '{{.Image}}', `${PROJECT}-dev-any-1`);
  const holder = ['--name', `${PROJECT}-holder`, '-p', `127.0.0.1:${next}:80`, '--entrypoint', 'sleep'];
  await scenario.docker('host2', 'run', '-d', ...holder, image, '600');
  await scenario.write('app.sh', APP.replace('VERSION=one', 'VERSION=three'));
  try {
    await deploy();
  } finally {
    await scenario.docker('host2', 'rm', '-f', `${PROJECT}-holder`);
  }

  expect(await get('/', 'other.example.org')).toBe('200 any 1 three');
  expect(await scenario.cu('deploy')).toMatchObject({ exitCode: 0, stdout: 'nothing to do' });
  await scenario.write('app.sh', APP.replace('VERSION=one', 'VERSION=two'));
  await deploy();
  expect(await get('/', 'other.example.org')).toBe('200 any 1 two');
});

test('a service that leaves the proxy gets its port from it', async () => {
  const config = await scenario.read('cu.config.yaml');
  await scenario.write(
    'cu.config.yaml',
    config.replace(
      /^ {2}safe: .*$/m,
      `  safe: { kind: webserver, image: app, command: [sh, /app.sh], env: { NAME: safe }, on: [host2], rollout: recreate, ports: ["*:8592"], drain: 2s, ${HEALTH} }`,
    ),
  );

  await deploy();

  await eventually(async () =>
    expect((await (await fetch(`http://${address}:8592/`)).text()).trim()).toBe('safe 1 two'),
  );
  expect(await get('/', 'shop.example.org')).toBe('200 shop 1 two');
});

test('what is removed is routed no more, and with the last route goes the proxy', async () => {
  const others = await scenario.testbed.exec('host2', ['docker', 'exec', 'cu-proxy', 'ls', '/etc/cu-proxy/routes']);
  // Longer than the proxy is given to stop, within what its service is given to finish.
  const slow = get('/cgi-bin/slow', 'other.example.org', 8591, 30_000);
  await eventually(async () => expect((await scenario.cu('status')).stdout).toMatch(/any\b.*\b1 request\b/));
  const removed = await scenario.cu('remove', '--yes');

  expect(removed.exitCode, removed.all).toBe(0);
  expect(await slow).toBe('200 slow');
  const left = await scenario.testbed.exec('host2', ['docker', 'exec', 'cu-proxy', 'ls', '/etc/cu-proxy/routes']);
  // Other files of tests may route there at this moment.
  if (others.stdout.trim() === `${PROJECT}-dev.json`) expect(left.stderr).toMatch(/No such container/);
  expect(left.stdout).not.toContain(PROJECT);
  // Where others have routes, the process of before the reload may take a moment to let go of its sockets.
  await eventually(() => expect(get('/', 'shop.example.org')).rejects.toThrow(/ECONNREFUSED/));
});
