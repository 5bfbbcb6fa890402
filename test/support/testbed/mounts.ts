import { readFileSync } from 'node:fs';
import { execa } from 'execa';

/** Detaches what is mounted below `folder`, the innermost first. */
export async function unmountBelow(folder: string): Promise<void> {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((point) => point.startsWith(`${folder}/`));
  for (const point of mounts.toReversed()) await execa('umount', ['-l', point], { reject: false });
}
