import { randomBytes } from 'node:crypto';
import { quote } from './quote.ts';

export interface RemoteCommand {
  /** For the login shell of the host. */
  readonly text: string;
  /** Ends it with all its children, from another session. */
  readonly endText: string;
}

/**
 * A command with a mark by which it is found again: neither client can signal one whose stdin was ended, and closing
 * its channel leaves it running. The shell around it also tells the signal that killed it, where ssh says just 255.
 */
export function remoteCommand(argv: readonly string[]): RemoteCommand {
  const mark = randomBytes(8).toString('hex');
  return {
    text: quote(['sh', '-c', `: ${mark}; "$@"; exit $?`, 'sh', ...argv]),
    // In two parts, so that the search does not find itself.
    endText: quote(['sh', '-c', END_GROUP, 'sh', mark.slice(0, 8), mark.slice(8)]),
  };
}

/**
 * sshd gives each session a process group; the group is the third word after the name in /proc/PID/stat. What is left
 * of it a second later is killed, as `runLocal` does: by then the mark may be gone, so the groups are remembered.
 */
const END_GROUP = String.raw`
groups=
for folder in /proc/[0-9]*; do
  case "$(tr '\0' ' ' <"$folder/cmdline" 2>/dev/null)" in
    *": $1$2; "*)
      group=$(sed 's/.*) //' "$folder/stat" 2>/dev/null | cut -d ' ' -f 3)
      [ -z "$group" ] || groups="$groups -$group" ;;
  esac
done
[ -n "$groups" ] || exit 0
kill -s TERM -- $groups
(sleep 1; kill -s KILL -- $groups) </dev/null >/dev/null 2>&1 &`;
