import type { Duplex, Readable } from 'node:stream';

export interface DockerRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD';
  /** Without the version, such as `/containers/json`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** An object is sent as JSON, bytes and streams as `application/x-tar`. */
  readonly body?: object | Uint8Array | Readable;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Until the answer's headers are there; for `json`, until all of it is. Default 60 s. */
  readonly timeoutMs?: number;
}

export interface DockerResponse {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
}

/** The Docker API of one host. A status of 400 or more is a CuError('DOCKER_API') with `statusCode` unless listed in `allow`. */
export interface Docker {
  /** The whole answer, parsed; undefined when it is empty or its status is in `allow`. */
  json(request: DockerRequest & { readonly allow?: readonly number[] }): Promise<unknown>;
  /** The answer as it comes, for logs, archives, builds and loads. */
  stream(request: DockerRequest & { readonly allow?: readonly number[] }): Promise<DockerResponse>;
  /** A raw two-way stream after `101 Switching Protocols`, for exec with stdin. */
  hijack(request: DockerRequest): Promise<Duplex>;
  /** API calls made and bytes sent and received so far, for `npm run bench` and `-v`. */
  readonly usage: { readonly calls: number; readonly sentBytes: number; readonly receivedBytes: number };
}
