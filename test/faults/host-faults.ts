import type { Testbed } from '../support/hosts.ts';

/** No space left where the engine unpacks images and makes containers; the disk of the machine is not touched. */
export async function fillDisk(testbed: Testbed, host: string): Promise<void> {
  await run(testbed, host, FILL);
}

export async function freeDisk(testbed: Testbed, host: string): Promise<void> {
  await run(testbed, host, FREE);
}

/** `date` of the host is ten minutes ahead; its clock is this machine's own and stays right. */
export async function skewClock(testbed: Testbed, host: string): Promise<void> {
  await run(testbed, host, SKEW);
}

export async function mendClock(testbed: Testbed, host: string): Promise<void> {
  await run(testbed, host, MEND);
}

/** STOP: a process that hears no SIGTERM, whatever its code would do about it; CONT: it hears again. */
export async function signalContainer(
  testbed: Testbed,
  host: string,
  { container, signal }: { readonly container: string; readonly signal: 'STOP' | 'CONT' },
): Promise<void> {
  const pid = `$(docker inspect --format '{{.State.Pid}}' ${container})`;
  await run(testbed, host, `pid=${pid} && [ "$pid" != 0 ] && kill -${signal} "$pid" || true`);
}

// Images are unpacked below tmp; containers get a folder each, here on an overlay whose upper layer is full.
const FILL = `
set -e
[ -e /run/cu-full ] && exit 0
mkdir /run/cu-full /run/cu-full/tmp /run/cu-full/layer
mount -t tmpfs -o size=64k tmpfs /run/cu-full/tmp
mount -t tmpfs -o size=64k tmpfs /run/cu-full/layer
mkdir /run/cu-full/layer/upper /run/cu-full/layer/work
mkdir -p /var/lib/docker/tmp
mount -t overlay overlay -o lowerdir=/var/lib/docker/containers,upperdir=/run/cu-full/layer/upper,workdir=/run/cu-full/layer/work /var/lib/docker/containers
mount --bind /run/cu-full/tmp /var/lib/docker/tmp
for folder in tmp layer; do
  dd if=/dev/zero of=/run/cu-full/$folder/fill bs=4k 2>/dev/null || true
done`;

const FREE = `
for point in /var/lib/docker/tmp /var/lib/docker/containers /run/cu-full/tmp /run/cu-full/layer; do
  while mountpoint -q $point; do umount -l $point || break; done
done
rm -rf /run/cu-full`;

const SKEW = `
set -e
[ -e /usr/bin/date.right ] || cp /usr/bin/date /usr/bin/date.right
printf '#!/bin/sh\\nexec /usr/bin/date.right -d "10 minutes" "$@"\\n' >/usr/bin/date.wrong
chmod 755 /usr/bin/date.wrong
mv /usr/bin/date.wrong /usr/bin/date`;

const MEND = 'if [ -e /usr/bin/date.right ]; then mv /usr/bin/date.right /usr/bin/date; fi';

async function run(testbed: Testbed, host: string, script: string): Promise<void> {
  const { exitCode, stderr } = await testbed.exec(host, ['sh', '-c', script]);
  if (exitCode !== 0) throw new Error(`on ${host}: ${stderr}`);
}
