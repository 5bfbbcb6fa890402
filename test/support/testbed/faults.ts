import { docker, tryDocker } from './docker.ts';
import { indexOf, waitForEngine, waitForHost } from './host-container.ts';
import type { TestHost, Testbed } from './testbed.ts';

type Faults = Pick<
  Testbed,
  'exec' | 'pause' | 'unpause' | 'kill' | 'start' | 'disconnect' | 'connect' | 'restartEngine' | 'killSessions'
>;

/** What a test can do to a running host. */
export function faultsOf(hosts: readonly TestHost[]): Faults {
  const find = (name: string): TestHost => {
    const host = hosts.find((candidate) => candidate.name === name);
    if (host === undefined)
      throw new Error(`no test host ${name}; there are ${hosts.map((each) => each.name).join(', ')}`);
    return host;
  };
  const inside = (name: string, script: string, argument = ''): Promise<string> =>
    docker(['exec', find(name).container, 'sh', '-c', script, 'sh', argument]);

  return {
    exec: (name, argv) => tryDocker(['exec', find(name).container, ...argv], { timeoutMs: 120_000 }),
    pause: async (name) => void (await docker(['pause', find(name).container])),
    unpause: async (name) => void (await docker(['unpause', find(name).container])),
    kill: async (name) => void (await docker(['kill', find(name).container])),
    start: async (name) => {
      const { container } = find(name);
      await docker(['start', container]);
      await waitForHost(indexOf(container));
    },
    disconnect: async (name) => void (await inside(name, disconnectScript)),
    connect: async (name) => void (await inside(name, connectScript)),
    restartEngine: async (name, signal = 'SIGTERM') => {
      await inside(name, restartScript, signal.slice('SIG'.length));
      await waitForEngine(find(name).container);
    },
    killSessions: async (name) => void (await inside(name, killSessionsScript)),
  };
}

// Before routing on the way in and after it on the way out: the host's containers are cut off too, and nobody gets an answer that says so.
const dropRules = ['raw PREROUTING -i eth0', 'mangle POSTROUTING -o eth0'].map((rule) => {
  const [table = '', chain = '', ...match] = rule.split(' ');
  return { table, rule: `${chain} ${match.join(' ')} -j DROP` };
});
const disconnectScript = dropRules
  .map(({ table, rule }) => `{ iptables -w -t ${table} -C ${rule} 2>/dev/null || iptables -w -t ${table} -I ${rule}; }`)
  .join(' && ');
const connectScript = dropRules
  .map(
    ({ table, rule }) =>
      `while iptables -w -t ${table} -C ${rule} 2>/dev/null; do iptables -w -t ${table} -D ${rule} || exit 1; done`,
  )
  .join('; ');

const restartScript = `
  old=$(pgrep -o -x dockerd) || exit 1
  kill -s "$1" "$old"
  for i in $(seq 300); do kill -0 "$old" 2>/dev/null || exit 0; sleep 0.1; done
  echo "dockerd $old survives SIG$1" >&2; exit 1`;

// Each connection is a child of the listener (privileged) with a child of its own (the user's); both must go at once.
const killSessionsScript = `
  listener=$(cat /run/sshd.pid) || exit 1
  for session in $(pgrep -P "$listener"); do
    kill -KILL $(pgrep -P "$session" -x sshd) "$session" 2>/dev/null
  done; true`;
