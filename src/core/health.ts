interface HealthTiming {
  readonly intervalMs: number;
  /** How long all of it may take, from the start of the container. */
  readonly timeoutMs: number;
  /** Failures in a row, after `startPeriodMs`, that end the wait early. */
  readonly retries: number;
  readonly startPeriodMs: number;
  /** How long the container must stay up once healthy. */
  readonly stableMs: number;
}

export type HealthProbe =
  | { readonly type: 'http'; readonly path: string; readonly port: number; readonly status: number | undefined }
  | { readonly type: 'tcp'; readonly port: number }
  | { readonly type: 'redis'; readonly port: number }
  | { readonly type: 'command'; readonly command: readonly string[] }
  | { readonly type: 'engine' }
  | { readonly type: 'none' };

export type Health = HealthProbe & HealthTiming;
