import type { Duplex } from 'node:stream';
import { z } from 'zod/mini';
import { CuError } from '../core/error.ts';
import { orAborted, within } from '../transport/abort.ts';
import type { Host } from '../transport/host.ts';

const ownerSchema = z.object({
  user: z.string(),
  machine: z.string(),
  pid: z.number(),
  command: z.string(),
  commit: z.optional(z.string()),
  startedAt: z.number(),
  /** Of one taking of one lock, which may meet itself where one machine has two names. */
  id: z.optional(z.string()),
});

/** Who holds a lock, for whoever has to wait for it; `startedAt` in milliseconds since 1970. */
export type LockOwner = z.output<typeof ownerSchema>;

export interface HeldLock extends AsyncDisposable {
  readonly host: string;
  readonly lost: AbortSignal;
}

const ANSWER_MS = 15_000;
const RELEASE_MS = 1000;
const BEAT_MS = 5000;

/**
 * POSIX sh, for dash and busybox. The lock is on an open file, so it is free the moment this ends: with its input, which
 * the connection closes, or when no line came for 20 s, as from a laptop that was shut or a network that was cut.
 * Where fs.protected_regular is set, a file of another user in a sticky folder cannot be opened for creation: it is made
 * once, writable for all, and only read afterwards; each owner is described in a file of its own.
 */
const SCRIPT = `
# By its mode, not by whether this user may write there: root and others have to choose the same folder.
case $(ls -ld /run/lock/ 2>/dev/null) in d???????w*) dir=/run/lock ;; *) dir=/tmp ;; esac
file=$dir/$1.lock; own=$file.$(id -u).owner
command -v flock >/dev/null 2>&1 || { echo no-flock; exit 0; }
[ -e "$file" ] || (umask 0; set -C; : >"$file") 2>/dev/null
[ -r "$file" ] || { echo "broken cannot read $file"; exit 1; }
exec 9<"$file"
# Without -E, which busybox lacks: it refuses in silence, and says what is wrong otherwise.
said=$(flock -n 9 2>&1); code=$?
if [ "$code" != 0 ] && [ -z "$said" ]; then
  newest=$(ls -t "$file".*.owner 2>/dev/null | head -n 1)
  echo "refused $(cat "$newest" /dev/null 2>/dev/null)"; exit 0
fi
[ "$code" = 0 ] || { echo "broken $said"; exit 1; }
# By a rename, which follows no link that somebody else put there; and no child keeps the lock by its descriptor.
new=$(umask 022; mktemp "$dir/cu.XXXXXX") && chmod 644 "$new" && printf '%s\\n' "$2" >"$new" && mv -f "$new" "$own"
echo held
while line=$(timeout 20 sh -c 'IFS= read -r line && echo "$line"' 9<&-) && [ "$line" = beat ]; do :; done
rm -f "$own"`;

export type Answer =
  | { readonly type: 'held'; readonly lock: HeldLock }
  | { readonly type: 'refused'; readonly owner: LockOwner | undefined }
  | { readonly type: 'no-flock' };

/** Takes the lock of one host, or says at once who has it. */
export async function holdLock(
  host: Host,
  { name, owner, signal }: { readonly name: string; readonly owner: LockOwner; readonly signal: AbortSignal },
): Promise<Answer> {
  const deadline = within(ANSWER_MS, signal);
  const stream = await host.converse(['sh', '-c', SCRIPT, 'sh', name, JSON.stringify(owner)], deadline);
  stream.on('error', () => undefined);
  try {
    const line = await orAborted(firstLine(stream), deadline);
    if (line === 'held') return { type: 'held', lock: keep(host, stream) };
    stream.destroy();
    if (line === 'no-flock') return { type: 'no-flock' };
    if (line.startsWith('refused')) return { type: 'refused', owner: parseOwner(line.slice('refused '.length)) };
    throw new CuError('STEP_FAILED', `the lock ${name} cannot be taken: ${line || 'no answer'}`, {
      host: host.name,
      hint: 'look at /run/lock (or /tmp) on the host: is it writable for everybody?',
    });
  } catch (error) {
    stream.destroy();
    if (signal.aborted || error instanceof CuError) throw error;
    throw new CuError('TIMEOUT', `the host said nothing about the lock within ${ANSWER_MS / 1000} s`, {
      host: host.name,
      cause: error,
    });
  }
}

function firstLine(stream: Duplex): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    stream.on('data', (chunk: Uint8Array | string) => {
      text += String(chunk);
      if (text.includes('\n')) resolve(text.split('\n')[0] ?? '');
    });
    stream.once('close', () => resolve(text.trim()));
    stream.once('end', () => resolve(text.trim()));
  });
}

function parseOwner(text: string): LockOwner | undefined {
  try {
    return ownerSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Says every few seconds that its owner is still there. */
function keep(host: Host, stream: Duplex): HeldLock {
  const lost = new AbortController();
  const beat = setInterval(() => stream.writable && stream.write('beat\n'), BEAT_MS).unref();
  let isReleased = false;
  const ended = new Promise<void>((resolve) => {
    const onEnd = (): void => {
      clearInterval(beat);
      resolve();
      if (isReleased) return;
      const hint = 'run the same command again: it goes on from where this one was';
      lost.abort(
        new CuError('CONNECTION_LOST', `the connection to ${host.description} was lost, and with it the lock`, {
          host: host.name,
          hint,
        }),
      );
    };
    stream.once('close', onEnd);
    stream.once('end', onEnd);
  });
  return {
    host: host.name,
    lost: lost.signal,
    [Symbol.asyncDispose]: async () => {
      isReleased = true;
      clearInterval(beat);
      if (stream.writable) stream.end('end\n');
      await orAborted(ended, AbortSignal.timeout(RELEASE_MS)).catch(() => undefined);
      stream.destroy();
    },
  };
}
