import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { expect, test } from 'vitest';
import { engineAddress, openLocal } from '../../../src/transport/local.ts';
import { createHome, failureOf } from './setup.ts';

const at = (home: string, env: Readonly<Record<string, string>> = {}): Parameters<typeof engineAddress>[1] => ({
  env,
  home,
  username: 'me',
});
const here = { name: 'local', dockerSocket: undefined };

test('the engine is the usual socket, DOCKER_HOST, or the host’s own setting, the last first', async () => {
  await using home = await createHome();
  const env = { DOCKER_HOST: 'tcp://[::1]:2375' };

  expect(await engineAddress(here, at(home.path))).toEqual({ type: 'unix', path: '/var/run/docker.sock' });
  expect(await engineAddress(here, at(home.path, env))).toEqual({ type: 'tcp', address: '::1', port: 2375 });
  expect(await engineAddress({ ...here, dockerSocket: '/x.sock' }, at(home.path, env))).toEqual({
    type: 'unix',
    path: '/x.sock',
  });
});

test('the current context of the docker client is used', async () => {
  await using home = await createHome();
  const id = createHash('sha256').update('lab').digest('hex');
  await mkdir(`${home.path}/.docker/contexts/meta/${id}`, { recursive: true });
  await writeFile(`${home.path}/.docker/config.json`, '{"currentContext":"lab"}');
  const meta = { Name: 'lab', Endpoints: { docker: { Host: 'unix:///run/lab.sock' } } };
  await writeFile(`${home.path}/.docker/contexts/meta/${id}/meta.json`, JSON.stringify(meta));

  expect(await engineAddress(here, at(home.path))).toEqual({ type: 'unix', path: '/run/lab.sock' });
  expect(await engineAddress(here, at(home.path, { DOCKER_CONTEXT: 'default' }))).toEqual({
    type: 'unix',
    path: '/var/run/docker.sock',
  });
});

test('DOCKER_HOST over ssh is refused with what to write instead', async () => {
  await using home = await createHome();

  const error = await failureOf(engineAddress(here, at(home.path, { DOCKER_HOST: 'ssh://deploy@host1' })));

  expect(error).toMatchObject({ code: 'USAGE', exitCode: 2 });
  expect(error.hint).toContain('address');
});

test('no engine and a dead engine are told apart', async () => {
  await using home = await createHome();
  const missing = await openLocal(here, at(home.path, { DOCKER_HOST: `unix://${home.path}/none.sock` }));
  const dead = await openLocal(here, at(home.path, { DOCKER_HOST: 'tcp://127.0.0.1:1' }));

  const errors = await Promise.all(
    [missing, dead].map((host) => failureOf(host.docker().json({ method: 'GET', path: '/version' }))),
  );

  expect(errors.map(({ code, message }) => [code, message])).toEqual([
    ['DOCKER_UNAVAILABLE', `no Docker engine on this machine: there is no ${home.path}/none.sock`],
    ['DOCKER_UNAVAILABLE', 'the Docker engine on this machine does not answer at 127.0.0.1:1'],
  ]);
});

test('an answer that is cut short is an error, however much of it came', async () => {
  await using home = await createHome();
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
    response.write('{"half":');
    setTimeout(() => response.destroy(), 50);
  });
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  await using host = await openLocal(here, at(home.path, { DOCKER_HOST: `tcp://127.0.0.1:${port}` }));

  const error = await failureOf(host.docker().json({ method: 'GET', path: '/version' }));
  server.close();

  expect(error.code).toBe('DOCKER_UNAVAILABLE');
});

test('credentials in a header are not printed under DEBUG', async () => {
  await using home = await createHome();
  const { execFile } = await import('node:child_process');
  const script = `
    import { openLocal } from ${JSON.stringify(new URL('../../../src/transport/local.ts', import.meta.url).href)};
    const host = await openLocal({ name: 'local', dockerSocket: undefined }, { env: { DOCKER_HOST: 'tcp://127.0.0.1:1' }, home: '/', username: 'me' });
    await host.docker().json({ method: 'GET', path: '/info', headers: { 'X-Registry-Auth': 'hunter2' } }).catch(() => undefined);
    await host[Symbol.asyncDispose]();`;
  const file = await home.write('script.mts', script);

  const said = await new Promise<string>((resolve) => {
    const env = { ...process.env, DEBUG: '*' };
    execFile(process.execPath, ['--import', 'tsx', file], { env, cwd: process.cwd() }, (_error, stdout, stderr) =>
      resolve(stdout + stderr),
    );
  });

  expect(said).toContain('modem');
  expect(said).not.toContain('hunter2');
});
