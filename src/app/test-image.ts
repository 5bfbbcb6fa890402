import { CuError } from '../core/error.ts';
import type { BuildSource, Desired, InstanceSpec } from '../core/state.ts';
import { suggest } from '../core/suggest.ts';

/** What `cu test` tests: a built image, and the instance of it, if any, as which the tests run. */
export interface Tested {
  readonly source: BuildSource;
  readonly instance: InstanceSpec | undefined;
}

const DEFAULT_BROKER = 'redis:8';

/** The image that is named, else that of worker or webserver, else the only one that is built. */
export function testedImage(desired: Desired, named: string | undefined): Tested {
  const built = desired.images.filter((image) => image.type === 'build');
  const names = built.map(({ name }) => name);
  if (built.length === 0) {
    throw new CuError('USAGE', 'no image is built here, so there is nothing to test', {
      hint: 'give one a `build` under `images`',
    });
  }
  const source = named === undefined ? defaultImage(desired, built) : built.find(({ name }) => name === named);
  if (source === undefined) {
    const near = named === undefined ? undefined : suggest(named, names);
    throw new CuError(
      'USAGE',
      named === undefined
        ? `several images are built, and none of them alone is that of workers and webservers`
        : `no image called ${named} is built here`,
      { hint: near === undefined ? `name one with --image: ${names.join(', ')}` : `did you mean ${near}?` },
    );
  }
  const users = desired.instances.filter(({ image }) => image === source.name);
  return { source, instance: users.find(isRuntime) ?? users[0] };
}

function defaultImage(desired: Desired, built: readonly BuildSource[]): BuildSource | undefined {
  if (built.length === 1) return built[0];
  const used = built.filter(({ name }) => desired.instances.some((each) => each.image === name && isRuntime(each)));
  return used.length === 1 ? used[0] : undefined;
}

function isRuntime({ kind }: InstanceSpec): boolean {
  return kind === 'worker' || kind === 'webserver';
}

/** What the project's own broker runs; one that is built is not built for this. */
export function brokerReference({ instances, images }: Desired): string {
  const name = instances.find(({ kind }) => kind === 'redis')?.image ?? 'redis';
  const source = images.find((image) => image.name === name);
  return source?.type === 'ref' ? source.reference : DEFAULT_BROKER;
}
