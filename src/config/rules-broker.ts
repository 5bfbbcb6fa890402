import { settingPath, type Placement } from './placements.ts';
import type { Complaint } from './problem.ts';
import type { Rule, Subject } from './rule.ts';
import { own } from './schema.ts';

export const BROKER_RULES: readonly Rule[] = [oneBroker, brokerPresent, brokerReachable];

const NEEDS_BROKER = ['worker', 'beat', 'flower'];
const USES_BROKER = [...NEEDS_BROKER, 'webserver'];

function oneBroker({ placements }: Subject): readonly Complaint[] {
  const [first, second] = placements.filter((placement) => placement.kind === 'redis');
  if (first === undefined || second === undefined) return [];
  if (first.service !== second.service) {
    return [
      {
        path: ['services', second.service, 'kind'],
        message: `${first.service} is the broker already`,
        hint: 'a second Redis, such as a cache, is of kind container',
      },
    ];
  }
  const message =
    first.host === second.host
      ? `the broker is one instance, not several on ${first.host}`
      : `the broker runs on one host, not on ${first.host} and ${second.host}`;
  return [{ path: second.path, message }];
}

function brokerPresent({ config, placements }: Subject): readonly Complaint[] {
  if (placements.some((placement) => placement.kind === 'redis')) return [];
  return Object.entries(config.services)
    .filter(([, service]) => NEEDS_BROKER.includes(service.kind))
    .map(([name, service]) => ({
      path: ['services', name, 'kind'],
      message: `a ${service.kind} needs a broker`,
      hint: 'add `broker: { kind: redis, on: [HOST] }` under `services`',
    }));
}

/** Across hosts the broker is reached at its host's advertised address and published port. */
function brokerReachable({ config, placements }: Subject): readonly Complaint[] {
  const broker = placements.find((placement) => placement.kind === 'redis');
  const away =
    broker && placements.find((placement) => USES_BROKER.includes(placement.kind) && placement.host !== broker.host);
  if (broker === undefined || away === undefined) return [];
  const who = `${away.service} on ${away.host}`;
  const [port] = broker.settings.ports;
  if (port === undefined) {
    return [
      {
        path: ['services', broker.service],
        message: `publishes no port, and ${who} needs it`,
        hint: 'add `ports: ["INTERFACE:6379"]` with the network that the hosts share',
        isKey: true,
      },
    ];
  }
  if (isLoopback(port.bind)) {
    return [
      {
        path: [...settingPath(config, broker, 'ports'), 0],
        message: `${port.bind} is reached from ${broker.host} only, and ${who} needs the broker`,
        hint: 'publish it on the network that the hosts share',
      },
    ];
  }
  return advertised(broker, who, config);
}

function advertised(broker: Placement, who: string, config: Subject['config']): readonly Complaint[] {
  const host = own(config.hosts, broker.host);
  if (host === undefined || host.connection === 'ssh' || host.advertise !== undefined) return [];
  return [
    {
      path: ['hosts', broker.host],
      message: `has no \`advertise\`, and ${who} must reach the broker there`,
      hint: 'add the address or interface at which other hosts reach it',
      isKey: true,
    },
  ];
}

function isLoopback(bind: string): boolean {
  return bind.startsWith('127.') || ['::1', 'localhost', 'lo'].includes(bind);
}
