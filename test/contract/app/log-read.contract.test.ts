import { afterAll, beforeAll, expect, test } from 'vitest';
import { readLog } from '../../../src/app/log-read.ts';
import { attachTestbed } from '../../support/hosts.ts';
import type { Testbed } from '../../support/hosts.ts';
import { createHome, hostOf, poolIn, targetOf } from '../transport/setup.ts';
import type { Home, Host } from '../transport/setup.ts';

const IMAGE = 'contract-log-read';
const TIMES = 3;
const { signal } = new AbortController();

let bed: Testbed;
let home: Home;
let pool: ReturnType<typeof poolIn>;
let host: Host;

beforeAll(async () => {
  bed = await attachTestbed();
  home = await createHome();
  pool = poolIn(home);
  host = await pool.open(targetOf(hostOf(bed, 'host1'), bed));
  const files = '/usr/bin/busybox $(ldd /usr/bin/busybox | grep -o "/[^ ]*")';
  await inHost(`tar -chPf - ${files} | docker import - ${IMAGE}`);
});

afterAll(async () => {
  await inHost(`docker ps -aq --filter ancestor=${IMAGE} | xargs -r docker rm -f; docker rmi -f ${IMAGE}`);
  await pool[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

test.each([true, false])(
  'a container that is removed meanwhile ends its log, without an error (follow: %s)',
  async (follow) => {
    for (let time = 0; time < TIMES; time += 1) {
      const id = await inHost(
        `docker run -d ${IMAGE} /usr/bin/busybox sh -c 'echo hello; exec /usr/bin/busybox sleep 600'`,
      );
      const removed = { is: false };
      const removal = inHost(`docker rm -f ${id}`).finally(() => (removed.is = true));
      const texts = new Set<string>();

      while (!removed.is) {
        const window = { follow, since: undefined, until: undefined, tail: undefined, source: 'here', signal };
        for await (const { text } of readLog(host, id, window)) texts.add(text);
      }
      await removal;

      expect([...texts].filter((text) => text !== 'hello')).toEqual([]);
    }
  },
);

async function inHost(script: string): Promise<string> {
  return (await bed.exec('host1', ['sh', '-c', script])).stdout.trim();
}
