import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { followCu } from '../support/follow.ts';
import { eventually } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';
import { startWebApi } from '../support/web-api.ts';

const TOKEN = randomBytes(16).toString('hex');
const NO_HOST = 'address: 127.0.0.1, port: 1,';

let scenario: Scenario;
let config: string;

beforeAll(async () => {
  scenario = await startWebApi({ project: 'e2e-call', port: 8531, token: TOKEN });
  config = await scenario.read('cu.config.yaml');
  const deployed = await scenario.cu('deploy');
  expect(deployed.exitCode, deployed.all).toBe(0);
});

afterEach(async () => {
  await scenario.write('cu.config.yaml', config);
  await scenario.write('.cu/secrets.env', `API_TOKEN=${TOKEN}\n`);
});

afterAll(() => scenario[Symbol.asyncDispose]());

async function siteOn(host: string): Promise<string> {
  const [site] = await scenario.containers(host);
  return site?.name ?? '';
}

describe('a method that answers at once', () => {
  test.each([
    ['x=2', '3'],
    ['x=2 y=3.5', '5.5'],
    ['y:=4 x=1e2', '104.0'],
  ])('is called with %s', async (given, expected) => {
    const result = await scenario.cu('call', 'math.add', ...given.split(' '));

    expect(result).toMatchObject({ exitCode: 0, stdout: expected, stderr: '' });
  });

  test.each([
    ['value=hello world', '"hello world"'],
    ['value=3.0', '3.0'],
    ['value:="3"', '"3"'],
    ['value={"a": [1, null]}', '{"a": [1, null]}'],
  ])('gets %s as what it looks like', async (given, expected) => {
    const result = await scenario.cu('call', 'echo', given);

    expect(result).toMatchObject({ exitCode: 0, stdout: expected });
  });

  test('with --json says it in one line', async () => {
    const { exitCode, stdout } = await scenario.cu('call', 'math.add', 'x=2', '--json');

    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ type: 'result', command: 'call', exitCode: 0, state: 'done', value: 3 });
  });

  test('that returns bytes writes them to the file as they are', async () => {
    const result = await scenario.cu('call', 'picture', '-o', 'picture.png');

    expect(result.exitCode, result.all).toBe(0);
    expect(await readFile(join(scenario.directory, 'picture.png'))).toEqual(
      Buffer.from('\x89PNG\r\n\x1a\n\x00\xff', 'latin1'),
    );
  });
});

test('a file is sent once, and not again by the next call', async () => {
  const content = randomBytes(5_000_000);
  await writeFile(join(scenario.directory, 'tile.bin'), content);
  const sha256 = createHash('sha256').update(content).digest('hex');

  const first = await scenario.cu('call', 'file.size', 'file=@tile.bin');
  const second = await scenario.cu('call', 'file.size', 'file=@./tile.bin');

  for (const { exitCode, stdout, all } of [first, second]) {
    expect(exitCode, all).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ $file: sha256, size: 5_000_000, name: 'tile.bin', stored: 5_000_000 });
  }
  const log = await scenario.docker('host1', 'logs', await siteOn('host1'));
  expect(log.match(/^uploaded .*/gm)).toEqual([`uploaded ${sha256.slice(0, 8)} 5000000`]);
});

describe('a method that takes a while', () => {
  test('is left to itself without --wait, and its result fetched later', async () => {
    const called = await scenario.cu('call', 'work', 'steps=4');
    expect(called.exitCode, called.all).toBe(0);
    expect(called.stdout).toMatch(/^[0-9a-f]{32}$/);
    expect(called.stderr).toContain(`cu call --job ${called.stdout} --wait`);

    const early = await scenario.cu('call', '--job', (await scenario.cu('call', 'work', 'seconds=3')).stdout);
    const fetched = await scenario.cu('call', '--job', called.stdout, '--wait');
    const again = await scenario.cu('call', '--job', called.stdout);

    expect(early).toMatchObject({ exitCode: 4, stdout: '' });
    expect(fetched).toMatchObject({ exitCode: 0, stdout: '{"steps": 4}' });
    expect(again).toMatchObject({ exitCode: 0, stdout: '{"steps": 4}' });
  });

  test('says what it does while it is waited for', async () => {
    const result = await scenario.cu('call', 'work', '--wait');

    expect(result).toMatchObject({ exitCode: 0, stdout: '{"steps": 3}' });
    expect(result.stderr).toMatch(/work \| queued.*\n(.*\n)*work \| running/);
    expect(result.stderr).toContain('work | the first line of its log');
  });

  test.each([
    ['events=false', 'has no events'],
    ['cut=true', 'loses the connection after each event'],
  ])('is followed with %s, where the webserver %s', async (given) => {
    const result = await scenario.cu('call', 'work', given, '--wait');

    expect(result, result.all).toMatchObject({ exitCode: 0, stdout: '{"steps": 3}' });
  });

  test('is followed over a new connection when SSH is cut', async () => {
    const running = followCu(scenario, {}, 'call', 'work', 'seconds=2', '--wait');
    await running.until((line) => line.type === 'job-log');

    await scenario.testbed.killSessions('host1');

    const { exitCode, all } = await running.ended;
    expect(exitCode, all).toBe(0);
    expect(running.lines.at(-1)).toMatchObject({ type: 'result', state: 'done', value: { steps: 3 } });
  });

  test('gives a large result to a file, and nothing else is left there', async () => {
    const result = await scenario.cu('call', 'work', 'large=true', 'steps=1', '-o', 'large.bin');

    expect(result.exitCode, result.all).toBe(0);
    const content = await readFile(join(scenario.directory, 'large.bin'));
    expect(
      content.equals(
        Buffer.alloc(
          256 * 40_000,
          Uint8Array.from({ length: 256 }, (_, at) => at),
        ),
      ),
    ).toBe(true);
    expect((await readdir(scenario.directory)).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  test('goes on after Ctrl-C, which says how to get its result', async () => {
    const running = followCu(scenario, {}, 'call', 'work', 'seconds=1', '--wait');
    await running.until((line) => line.type === 'job-log');

    running.kill('SIGINT');

    const { exitCode, all } = await running.ended;
    expect(exitCode, all).toBe(130);
    const [, id = ''] = /cu call --job ([0-9a-f]{32}) --wait/.exec(running.stderr()) ?? [];
    const fetched = await scenario.cu('call', '--job', id, '--wait');
    expect(fetched, fetched.all).toMatchObject({ exitCode: 0, stdout: '{"steps": 3}' });
  });

  test.each([
    ['failed', 'work failed: ValueError: no such tile'],
    ['dead', 'work was given up: ValueError: no such tile'],
    ['cancelled', 'work was cancelled'],
  ])('and ends as %s is an error', async (end, message) => {
    const result = await scenario.cu('call', 'work', 'steps=1', `end=${end}`, '--wait');

    expect(result).toMatchObject({ exitCode: 4, stdout: '' });
    expect(result.stderr).toContain(message);
  });
});

describe('what there is to call', () => {
  test('is a table', async () => {
    const { exitCode, stdout, all } = await scenario.cu('call', '--list');

    expect(exitCode, all).toBe(0);
    expect(stdout).toMatch(/^math\.add +x \[y\] +Add two numbers\.$/m);
  });

  test('is described one by one', async () => {
    const { exitCode, stdout } = await scenario.cu('call', '--help', 'math.add');

    expect(exitCode).toBe(0);
    expect(stdout).toContain('More about it.');
    expect(stdout).toMatch(/^ +y +number +default 1 +The second\.$/m);
  });

  test('without a method the help is the usual one', async () => {
    const { exitCode, stdout } = await scenario.cu('call', '--help');

    expect(exitCode).toBe(0);
    expect(stdout).toContain('Usage: cu call [options] [method] [argument...]');
  });
});

describe('a call that is refused', () => {
  test.each([
    [['math.add', 'x=one'], "math.add: argument x: 'one' is not of type 'number'"],
    [['math.add', 'y=1', 'z=1'], 'x: missing'],
    [['math.ad', 'x=1'], 'did you mean math.add?'],
    [['secret.door'], 'API_TOKEN'],
    [['math.add', 'x=@missing.bin'], 'cannot read x=@missing.bin'],
    [['picture', '--json'], '-o FILE'],
    [[], 'which method is to be called?'],
  ])('%j: exit 2, and what is wrong', async (argv, expected) => {
    const result = await scenario.cu('call', ...argv);

    expect(result, result.all).toMatchObject({ exitCode: 2 });
    expect(result.stderr).toContain(expected);
  });

  test('with a token that is not known names the secret', async () => {
    await scenario.write('.cu/secrets.env', `API_TOKEN=${randomBytes(16).toString('hex')}\n`);

    const result = await scenario.cu('call', 'math.add', 'x=1');

    expect(result).toMatchObject({ exitCode: 2, stdout: '' });
    expect(result.stderr).toContain('site does not know the token in the secret API_TOKEN');
  });

  test('without a token names the secret', async () => {
    await scenario.write('cu.config.yaml', config.replace('secrets: [API_TOKEN]', ''));
    await scenario.write('.cu/secrets.env', '');

    const result = await scenario.cu('call', 'math.add', 'x=1');

    expect(result).toMatchObject({ exitCode: 2, stdout: '' });
    expect(result.stderr).toContain('the secret API_TOKEN is missing: looked in .cu/secrets.env');
  });

  test('by a job that is not known says so', async () => {
    const result = await scenario.cu('call', '--job', '0'.repeat(32));

    expect(result.exitCode).toBe(4);
    expect(result.stderr).toContain('there is no such job');
  });

  test('where no service is a webserver', async () => {
    await scenario.write('cu.config.yaml', config.replace('kind: webserver', 'kind: container'));

    const result = await scenario.cu('call', 'math.add', 'x=1');

    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain('has no service of kind webserver');
  });

  test('where no host can be reached', async () => {
    await scenario.write('cu.config.yaml', config.replaceAll(/address: [\d.]+, port: \d+,/g, NO_HOST));

    const result = await scenario.cu('call', 'math.add', 'x=1');

    expect(result.exitCode, result.all).toBe(3);
  });
});

describe('of several instances', () => {
  test('one on a host that can be reached is used', async () => {
    await scenario.write('cu.config.yaml', config.replace(/address: [\d.]+, port: \d+,/, NO_HOST));

    const result = await scenario.cu('call', 'math.add', 'x=1');

    expect(result, result.all).toMatchObject({ exitCode: 0, stdout: '2' });
  });

  test('one that runs is used', async () => {
    await scenario.docker('host1', 'stop', '-t', '0', await siteOn('host1'));

    const result = await scenario.cu('call', 'math.add', 'x=1');

    expect(result, result.all).toMatchObject({ exitCode: 0, stdout: '2' });
  });

  test('a webserver that goes down while a job is waited for is followed up by asking again once it is back', async () => {
    const running = followCu(scenario, {}, 'call', 'work', 'exit_at=1', 'seconds=0.5', '--wait');
    await eventually(async () => {
      const all = await scenario.containers('host2');
      expect(all.map(({ state }) => state)).toEqual(['exited']);
    });

    await scenario.docker('host2', 'start', await siteOn('host2'));

    // It keeps its jobs in memory, so this one is forgotten: an answer, and not silence.
    const { exitCode, all } = await running.ended;
    expect(exitCode, all).toBe(4);
    expect(running.stderr()).toContain('there is no such job');
  });

  test('none that runs: exit 4, and how to start it', async () => {
    await scenario.docker('host2', 'stop', '-t', '0', await siteOn('host2'));

    const result = await scenario.cu('call', 'math.add', 'x=1');

    expect(result).toMatchObject({ exitCode: 4, stdout: '' });
    expect(result.stderr).toContain('cu deploy');
  });
});
