/** Exit code by what went wrong; `docs/errors.md` is made from this table. */
export const EXIT_CODES = {
  BUG: 1,
  USAGE: 2,
  CONFIG_INVALID: 2,
  SECRET_MISSING: 2,
  CONFIRMATION_NEEDED: 2,
  HOST_MISMATCH: 2,
  HOST_UNREACHABLE: 3,
  HOST_KEY_UNKNOWN: 3,
  HOST_KEY_CHANGED: 3,
  HOST_KEY_REVOKED: 3,
  SSH_AUTHENTICATION: 3,
  DOCKER_UNAVAILABLE: 3,
  DOCKER_DENIED: 3,
  CONNECTION_LOST: 3,
  DOCKER_API: 4,
  COMMAND_FAILED: 4,
  BUILD_FAILED: 4,
  BUILDKIT_NEEDED: 4,
  SHIP_FAILED: 4,
  DISK_FULL: 4,
  UNHEALTHY: 4,
  STEP_FAILED: 4,
  TIMEOUT: 4,
  PLAN_STALE: 4,
  LOCK_HELD: 5,
  CANCELLED: 130,
} as const;

export type ErrorCode = keyof typeof EXIT_CODES;

/** Where it happened and what the reader may do; every field is shown when it is there. */
export interface ErrorContext {
  readonly host?: string;
  /** What was being done, as a person may run it, secrets redacted. */
  readonly command?: string;
  /** What the other side said: the tail of stderr, of a build or of a container's log. */
  readonly detail?: string;
  readonly hint?: string;
  /** HTTP status of the answer, of the Docker API or of the web API. */
  readonly statusCode?: number;
  readonly cause?: unknown;
}

/** An error that a person reads: what, where, what next. Anything else thrown is a bug in cu. */
export class CuError extends Error {
  readonly code: ErrorCode;
  readonly host: string | undefined;
  readonly command: string | undefined;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  readonly statusCode: number | undefined;

  constructor(code: ErrorCode, message: string, context: ErrorContext = {}) {
    super(message, context.cause === undefined ? {} : { cause: context.cause });
    this.name = 'CuError';
    this.code = code;
    this.host = context.host;
    this.command = context.command;
    this.detail = context.detail;
    this.hint = context.hint;
    this.statusCode = context.statusCode;
  }

  get exitCode(): number {
    return EXIT_CODES[this.code];
  }
}

/** The same error with more said about it; what is not named stays, and the original is its cause. */
export function amend(error: CuError, changes: { readonly host?: string; readonly hint?: string }): CuError {
  const { host, command, detail, hint, statusCode } = error;
  const known = { host, command, detail, hint, statusCode, ...changes };
  const said = Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined));
  return new CuError(error.code, error.message, { ...said, cause: error });
}

export function exitCodeOf(error: unknown): number {
  return error instanceof CuError ? error.exitCode : EXIT_CODES.BUG;
}

/** Several errors that one run found, such as every host that could not be reached. */
export class CuErrors extends CuError {
  readonly errors: readonly CuError[];

  constructor(errors: readonly CuError[]) {
    const first = errors[0];
    super(first?.code ?? 'BUG', errors.map((error) => error.message).join('\n'));
    this.errors = errors;
  }
}
