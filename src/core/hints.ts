import type { ErrorCode } from './error.ts';

export interface HintRule {
  /** undefined: whatever the code. */
  readonly code?: ErrorCode;
  /** Looked for in the message, then in the detail. */
  readonly pattern: RegExp;
  readonly hint: string;
}

/** What other programs say, and what to do about it; the first row that fits is shown. */
export const HINTS: readonly HintRule[] = [
  {
    pattern: /port is already allocated|address already in use/i,
    hint: 'something else holds that port on the host: look with `cu status`, or change `ports` in the config',
  },
  {
    pattern: /no space left on device/i,
    hint: 'the disk is full: `cu purge images` lists what cu can free there',
  },
  {
    pattern: /permission denied.*docker\.sock|docker\.sock.*permission denied/i,
    hint: 'the SSH user may not use Docker: add it to the group with `sudo usermod -aG docker USER` and log in again',
  },
  {
    pattern: /pull access denied|manifest unknown|repository .* not found|no such image|manifest for .* not found/i,
    hint: 'check the image name and tag under `images`, and `registries` if it is a private one',
  },
  {
    pattern: /exec format error|does not match the (detected|specified) (host )?platform|no matching manifest for/i,
    hint: 'the image is for another processor: set `build.platform`, such as linux/amd64, to what the host has',
  },
  {
    pattern: /executable file not found|no such file or directory: unknown/i,
    hint: 'the program named by `command` or `entrypoint` is not in the image, or not on its PATH',
  },
  {
    pattern: /bind source path does not exist|bind mount.*does not exist|not a shared mount/i,
    hint: 'a directory named under `mounts` is missing on the host: create it there, or use a volume (a name without /)',
  },
  {
    pattern: /container name .* is already in use/i,
    hint: 'a container of that name exists and is not managed by cu: rename or remove it on the host',
  },
  {
    pattern: /network .* not found|no such network/i,
    hint: 'the network was removed while cu ran, or `network` names one that the host lacks: run the command again',
  },
  {
    pattern:
      /exceeded MaxStartups|kex_exchange_identification|connection lost before handshake|connection (closed|reset).*(banner|identification)/i,
    hint: "the host's sshd refuses so many connections at once: lower `--parallel`, or raise MaxStartups there",
  },
  {
    pattern: /could not select device driver|nvidia-container|unknown runtime.*nvidia/i,
    hint: '`gpus` needs the NVIDIA container toolkit on the host: install it there, or take `gpus` out for this host',
  },
  {
    pattern:
      /cannot connect to the docker daemon|docker\.sock.*(no such file|ENOENT|ECONNREFUSED)|connect ENOENT .*docker\.sock/i,
    hint: 'Docker is not running on the host: start it with `sudo systemctl start docker`',
  },
  {
    pattern: /temporary failure in name resolution|ENOTFOUND|EAI_AGAIN|could not resolve host/i,
    hint: 'the name cannot be looked up: check `address` in the config, and the DNS of the machine that asked',
  },
  {
    pattern: /ECONNREFUSED|connection refused/i,
    code: 'HOST_UNREACHABLE',
    hint: 'nothing listens at that address and port: check `address` and `port`, and that sshd runs there',
  },
  {
    pattern: /ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|timed out|no route to host/i,
    code: 'HOST_UNREACHABLE',
    hint: 'no answer: check `address`, the network and the firewall; `--skip-unreachable` leaves the host out',
  },
  {
    pattern: /unauthorized|authentication required|denied: requested access/i,
    hint: "the registry refuses: check `username` and the password's secret under `registries`",
  },
  {
    pattern: /minimum memory limit|memory limit.*(too small|less than)/i,
    hint: 'give the service more `memory`: Docker wants at least 6m',
  },
  {
    pattern: /OOMKilled|out of memory|lack of memory|cannot allocate memory|exit(ed with)? code 137/i,
    hint: 'the container ran out of memory: raise `memory`, or lower `concurrency`',
  },
];

export function hintFor(code: ErrorCode, texts: readonly (string | undefined)[]): string | undefined {
  const said = texts.filter((text) => text !== undefined);
  return HINTS.find(
    (rule) => (rule.code === undefined || rule.code === code) && said.some((text) => rule.pattern.test(text)),
  )?.hint;
}
