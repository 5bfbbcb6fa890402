import { CuError } from '../core/error.ts';
import type { Desired, InstanceSpec } from '../core/state.ts';
import { suggest } from '../core/suggest.ts';

/** The words of a TARGET: `HOST`, `SERVICE`, `HOST/SERVICE` or `HOST/SERVICE/INSTANCE`, each with globs. */
interface Named {
  readonly host: string;
  readonly service: string;
  readonly instance: string;
}

/** The instances that the targets name, all of them without a target; an unknown name is an error with a suggestion. */
export function selectInstances(desired: Desired, targets: readonly string[]): readonly InstanceSpec[] {
  if (targets.length === 0) return desired.instances;
  const matchers = targets.map((target) => {
    const matcher = matchTarget(target);
    if (desired.instances.some(matcher)) return matcher;
    throw unknownTarget(target, desired);
  });
  return desired.instances.filter((instance) => matchers.some((matches) => matches(instance)));
}

function matchTarget(target: string): (named: Named) => boolean {
  const [first = '', second, third] = target.split('/').map(globOf);
  if (second === undefined) return (named) => matches(first, named.host) || matches(first, named.service);
  return (named) =>
    matches(first, named.host) &&
    matches(second, named.service) &&
    (third === undefined || matches(third, named.instance));
}

function unknownTarget(target: string, desired: Desired): CuError {
  const names = new Set(
    desired.instances.flatMap(({ host, service, instance }) => [
      host,
      service,
      `${host}/${service}`,
      `${host}/${service}/${instance}`,
    ]),
  );
  const near = suggest(target, [...names]);
  const parts = target.split('/').length;
  const known = [...names].filter((name) => name.split('/').length === Math.min(parts, 3));
  return new CuError('USAGE', `no host, service or instance is called ${JSON.stringify(target)}`, {
    hint:
      near === undefined
        ? `${desired.environment} has ${known.slice(0, 12).join(', ')}${known.length > 12 ? ', ...' : ''}`
        : `did you mean ${near}?`,
  });
}

type Glob = string | RegExp;

function globOf(text: string): Glob {
  if (!/[*?]/.test(text)) return text;
  const escaped = text.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replace(/\*/g, '.*').replace(/\?/g, '.')}$`);
}

function matches(glob: Glob, name: string): boolean {
  return typeof glob === 'string' ? glob === name : glob.test(name);
}
