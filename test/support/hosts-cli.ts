import { spawn } from 'node:child_process';
import { attachTestbed, startEngine, startTestbed, stopTestbed, TestbedBusyError, type Testbed } from './hosts.ts';

const usage = `usage: npm run hosts -- up N               start N test hosts (1 to 20)
       npm run hosts -- down               stop them; images stay cached
       npm run hosts -- list               what is up, and how to reach it
       npm run hosts -- ssh I [COMMAND]    log in to host I as root (or ssh USER@I)
       npm run hosts -- engine             start the engine and the registry only`;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function main(argv: readonly string[]): Promise<number> {
  const [command = 'help', argument, ...rest] = argv;
  switch (command) {
    case 'up':
      describe(await startTestbed(Number(argument ?? '3'), { say }));
      return 0;
    case 'down':
      await stopTestbed({ say });
      say('test hosts are down');
      return 0;
    case 'list':
      describe(await attachTestbed());
      return 0;
    case 'ssh':
      return ssh(await attachTestbed(), argument ?? '1', rest);
    case 'engine': {
      const engine = await startEngine({ say });
      process.stdout.write(`DOCKER_HOST=unix://${engine.socket}\n`);
      return 0;
    }
    default:
      say(usage);
      return 2;
  }
}

function describe(testbed: Testbed): void {
  const lines = testbed.hosts.map((host) => `${host.name}  ${host.address}  127.0.0.1:${host.forwardedPort}`);
  const settings = [
    `identity     ${testbed.identity}`,
    `known hosts  ${testbed.knownHostsFile}`,
    `engine       unix://${testbed.engineSocket}`,
    `docker hub   ${testbed.mirror === undefined ? 'the real one' : `stand-ins at ${testbed.mirror}`}`,
    'users        root, deploy and second (in group docker), plain (not in it)',
  ];
  process.stdout.write(`${[...lines, ...settings].join('\n')}\n`);
}

function ssh(testbed: Testbed, target: string, command: readonly string[]): Promise<number> {
  const [, user = 'root', name = ''] = /^(?:(.+)@)?(?:host)?(.+)$/.exec(target) ?? [];
  const host = testbed.hosts.find((candidate) => candidate.name === `host${name}`);
  if (host === undefined)
    throw new Error(`no test host ${target}; there are ${testbed.hosts.map((each) => each.name).join(', ')}`);
  const options = [
    '-i',
    testbed.identity,
    '-o',
    'IdentitiesOnly=yes',
    '-o',
    `UserKnownHostsFile=${testbed.knownHostsFile}`,
    '-o',
    'StrictHostKeyChecking=yes',
  ];
  const child = spawn(
    'ssh',
    ['-F', 'none', ...options, '-p', String(host.port), `${user}@${host.address}`, ...command],
    { stdio: 'inherit' },
  );
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 255));
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = error instanceof TestbedBusyError ? 2 : 1;
}
