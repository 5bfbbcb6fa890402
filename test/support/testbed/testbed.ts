export interface TestHost {
  /** host1, host2, ... */
  readonly name: string;
  /** Its address on the testbed's bridge, at which the other hosts reach it too. */
  readonly address: string;
  readonly port: number;
  /** The port of 127.0.0.1 that leads to its sshd. */
  readonly forwardedPort: number;
  /** known_hosts lines for `address`. */
  readonly hostKeyLines: readonly string[];
  readonly container: string;
}

export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** Running test hosts, and the faults that a test can give them. Hosts are named as in `hosts`. */
export interface Testbed extends AsyncDisposable {
  readonly hosts: readonly TestHost[];
  /** Path of the private key that root, deploy, second and plain accept. */
  readonly identity: string;
  /** The testbed engine's socket: also the local engine of the person who deploys. */
  readonly engineSocket: string;
  readonly knownHostsFile: string;
  /** URL of the stand-in for Docker Hub, where that does not answer. */
  readonly mirror: string | undefined;
  /** Runs as root in the host, without SSH. */
  readonly exec: (host: string, argv: readonly string[]) => Promise<ExecResult>;
  /** Freezes the host and its containers. */
  readonly pause: (host: string) => Promise<void>;
  readonly unpause: (host: string) => Promise<void>;
  /** Pulls the plug; `start` boots the host again with its disk as it was. */
  readonly kill: (host: string) => Promise<void>;
  readonly start: (host: string) => Promise<void>;
  /** Drops every packet to and from the host, silently; its containers go on. */
  readonly disconnect: (host: string) => Promise<void>;
  readonly connect: (host: string) => Promise<void>;
  /** Ends the host's dockerd, waits until the next one answers. */
  readonly restartEngine: (host: string, signal?: 'SIGTERM' | 'SIGKILL') => Promise<void>;
  /** Cuts every SSH connection to the host. */
  readonly killSessions: (host: string) => Promise<void>;
}

export interface EngineOnly {
  readonly socket: string;
  readonly mirror: string | undefined;
}
