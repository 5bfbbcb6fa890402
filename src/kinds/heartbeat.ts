import type { HealthProbe } from '../core/health.ts';

/** Of a file that is written every second or two while all goes well. */
const OLDEST_SECONDS = 20;

const SCRIPT = [
  'at=$(stat -c %Y "${CU_HEARTBEAT:-/tmp/cu-heartbeat}") || exit 1',
  'age=$(($(date +%s) - at))',
  `[ "$age" -lt ${OLDEST_SECONDS} ] || { echo "the last heartbeat is $age s old" >&2; exit 1; }`,
].join('; ');

/** Passes while the runtime's loop ticks, Redis answers and its own queue delivers; to ask is a mere `stat`. */
export const HEARTBEAT = { type: 'command', command: ['sh', '-c', SCRIPT] } as const satisfies HealthProbe;
