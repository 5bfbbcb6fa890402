import { attachTestbed, startTestbed, type Testbed } from '../../test/support/hosts.ts';

const HOSTS = 3;

/** Three hosts to deploy to, and how to reach them. */
export interface Fleet extends AsyncDisposable {
  /** As under `hosts` in the config. */
  readonly hosts: Readonly<Record<string, object>>;
  /** What cu needs to find the local engine that builds. */
  readonly env: Readonly<Record<string, string>>;
  /** `ssh HOST true` with the same login. */
  readonly sshTrue: readonly string[];
}

/** The test hosts that are up, else new ones that go away with the fleet. */
export async function openFleet(): Promise<Fleet> {
  const testbed = await attachTestbed().catch(() => startTestbed(HOSTS, { say: (line) => console.error(line) }));
  const [first, ...others] = testbed.hosts.slice(0, HOSTS);
  if (first === undefined || others.length + 1 < HOSTS) {
    throw new Error(
      `the benchmark needs ${HOSTS} test hosts, ${testbed.hosts.length} are up: run \`npm run hosts -- down\``,
    );
  }
  return {
    hosts: Object.fromEntries([first, ...others].map((host) => [host.name, hostConfig(host, testbed)])),
    env: { DOCKER_HOST: `unix://${testbed.engineSocket}` },
    sshTrue: sshTrue(first, testbed),
    [Symbol.asyncDispose]: () => testbed[Symbol.asyncDispose](),
  };
}

function hostConfig(host: Testbed['hosts'][number], testbed: Testbed): object {
  const { address, port } = host;
  return { address, port, user: 'deploy', identity: testbed.identity, knownHosts: host.hostKeyLines };
}

function sshTrue(host: Testbed['hosts'][number], testbed: Testbed): readonly string[] {
  const trust = ['-o', 'StrictHostKeyChecking=yes', '-o', `UserKnownHostsFile=${testbed.knownHostsFile}`];
  const login = ['-o', 'IdentitiesOnly=yes', '-i', testbed.identity, '-p', String(host.port), `deploy@${host.address}`];
  return ['ssh', '-F', 'none', ...trust, ...login, 'true'];
}
