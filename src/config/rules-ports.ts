import type { PortSpec } from '../core/state.ts';
import { settingPath, type Placement } from './placements.ts';
import type { Complaint } from './problem.ts';
import type { Subject } from './rule.ts';
import { own } from './schema.ts';
import { strategyOf } from './strategy.ts';

/** Addresses and ports that one of `before` has, and that an instance of `subject` asks for as well, on the same host. */
export function portClashes(before: Subject, subject: Subject): readonly Complaint[] {
  const taken = new Map<string, { readonly port: PortSpec; readonly holder: Placement }[]>();
  const complaints: Complaint[] = [];
  const isWithin = before === subject;
  const keyOf = (host: string, port: PortSpec): string => `${host}\0${port.port}`;
  const remember = (holder: Placement): void => {
    for (const port of holder.settings.ports) {
      const key = keyOf(holder.host, port);
      taken.set(key, [...(taken.get(key) ?? []), { port, holder }]);
    }
  };
  if (!isWithin) for (const placement of before.placements) remember(placement);
  const seen = new Set<string>();
  for (const placement of subject.placements) {
    for (const [index, port] of placement.settings.ports.entries()) {
      const twice = isWithin && placement.settings.ports.slice(0, index).some((other) => overlaps(other, port));
      const where = [...settingPath(subject.config, placement, 'ports'), index];
      if (twice && !seen.has(where.join('\0'))) {
        seen.add(where.join('\0'));
        const message = `port ${port.port} stands twice in the ports of ${placement.service}`;
        complaints.push({ path: where, message, hint: 'a port of the host leads to one port of the container' });
        continue;
      }
      const earlier = sameMachine(before, subject, placement.host) ? taken.get(keyOf(placement.host, port)) : undefined;
      const others = (earlier ?? []).filter((other) => overlaps(other.port, port));
      const clash = others.find(
        ({ holder }) => !canShare(behindProxy(subject, placement), behindProxy(before, holder), isWithin),
      );
      const mixed = others.find(
        (other) => isSameBind(other.port, port) && hasCertificate(other.holder) !== hasCertificate(placement),
      );
      const path = [...settingPath(subject.config, placement, 'ports'), index];
      const parts = { before, subject, port, placement };
      const words =
        clash === undefined
          ? mixed && tlsWords({ ...parts, holder: mixed.holder })
          : wordsFor({ ...parts, holder: clash.holder });
      // Ten replicas are one mistake, not nine.
      if (words !== undefined && !seen.has(path.join('\0'))) {
        seen.add(path.join('\0'));
        complaints.push({ path, ...words });
      }
    }
    if (isWithin) remember(placement);
  }
  return complaints;
}

/** Behind the proxy of a host a port leads to as many services as have names or paths of their own. */
function canShare(one: Placement | undefined, other: Placement | undefined, isWithin: boolean): boolean {
  if (one === undefined || other === undefined) return false;
  if (isWithin && one.service === other.service) return true;
  const taken = new Set(wishesOf(other));
  return !wishesOf(one).some((wish) => taken.has(wish));
}

function behindProxy({ config }: Subject, placement: Placement): Placement | undefined {
  const { kind, settings } = placement;
  const isProxied = kind === 'webserver' && strategyOf(config, placement) === 'proxy';
  return isProxied && !['host', 'none'].includes(settings.network) ? placement : undefined;
}

function wishesOf({ traits }: Placement): readonly string[] {
  const any = (list: readonly string[] = []): readonly string[] => (list.length === 0 ? [''] : list);
  return any(traits.route?.hosts).flatMap((host) =>
    any(traits.route?.paths).map((path) => `${host} ${path.replace(/\/+$/, '')}`),
  );
}

interface Clash {
  readonly before: Subject;
  readonly subject: Subject;
  readonly port: PortSpec;
  readonly placement: Placement;
  readonly holder: Placement;
}

type Words = Pick<Complaint, 'message' | 'hint'>;

function wordsFor({ before, subject, port, placement, holder }: Clash): Words {
  const where = `port ${port.port} of ${placement.host}`;
  if (before !== subject) {
    return {
      message: `${where} belongs to ${holder.service} of environment ${before.name} already`,
      hint: `give it another one under environments.${subject.name}.services.${placement.service}.ports`,
    };
  }
  if (holder.service === placement.service) {
    return {
      message: `${where} cannot be held by the instances ${holder.instance} and ${placement.instance} at once`,
      hint: 'give each instance ports of its own (`instances`), or run one per host',
    };
  }
  return { message: `${where} belongs to ${holder.service} already`, hint: 'give one of them another port or address' };
}

/** The proxy opens a port once, and speaks TLS on it with everybody or with nobody. */
function tlsWords({ before, subject, port, placement, holder }: Clash): Words {
  const other = before === subject ? holder.service : `${holder.service} of environment ${before.name}`;
  const [secured, plain] = hasCertificate(placement) ? [placement.service, other] : [other, placement.service];
  return {
    message: `port ${port.port} of ${placement.host} has a certificate for ${secured} and none for ${plain}`,
    hint: 'the proxy speaks TLS for both or for neither: give both a `route.certificate`, or one of them another port',
  };
}

function hasCertificate({ traits }: Placement): boolean {
  return traits.route?.certificate !== undefined;
}

function isSameBind(left: PortSpec, right: PortSpec): boolean {
  return left.bind === right.bind || (isEverywhere(left.bind) && isEverywhere(right.bind));
}

/** Interfaces are only names here: whether eth1 has the address of the other is seen on the host. */
function overlaps(left: PortSpec, right: PortSpec): boolean {
  return left.port === right.port && (left.bind === right.bind || isEverywhere(left.bind) || isEverywhere(right.bind));
}

function isEverywhere(bind: string): boolean {
  return ['*', '0.0.0.0', '::'].includes(bind);
}

/** Environments may give one name to two machines. */
function sameMachine(before: Subject, subject: Subject, host: string): boolean {
  const left = own(before.config.hosts, host);
  const right = own(subject.config.hosts, host);
  return (
    left?.connection === right?.connection &&
    (left?.address ?? host) === (right?.address ?? host) &&
    left?.port === right?.port
  );
}
