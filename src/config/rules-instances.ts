import { hostsOf, instancesWritten, settingPath } from './placements.ts';
import type { Placement } from './placements.ts';
import { show, type Complaint } from './problem.ts';
import { portClashes } from './rules-ports.ts';
import type { Rule, Subject } from './rule.ts';
import { strategyOf } from './strategy.ts';

export const INSTANCE_RULES: readonly Rule[] = [
  supportedKinds,
  hostsOnce,
  replicasOrInstances,
  uniqueNames,
  noTemporaryNames,
  shortNames,
  (subject) => portClashes(subject, subject),
  portsNeedNetwork,
  rolloutFits,
  routeNeedsProxy,
  oneBeat,
  healthHasPort,
  ownVolumeNames,
  mountTargetsOnce,
  sharedStorage,
];

function supportedKinds({ config }: Subject): readonly Complaint[] {
  return Object.entries(config.services)
    .filter(([, service]) => service.kind === 'sshfs')
    .map(([name]) => ({
      path: ['services', name, 'kind'],
      message: 'kind sshfs cannot be run by this version yet',
      hint: 'mount the directory on the host itself (sshfs, /etc/fstab) and give it to services with `mounts: ["/DIR:/DIR"]`',
    }));
}

function hostsOnce({ config }: Subject): readonly Complaint[] {
  return Object.entries(config.services).flatMap(([name, service]) => {
    const seen = new Set<string>();
    return hostsOf(config, name, service).flatMap(({ host, path }) => {
      const isTwice = seen.has(host);
      seen.add(host);
      return isTwice
        ? [
            {
              path,
              message: `the host ${show(host)} is given twice`,
              hint: 'use `replicas` for several instances on one host',
            },
          ]
        : [];
    });
  });
}

function replicasOrInstances({ config }: Subject): readonly Complaint[] {
  return Object.entries(config.services).flatMap(([name, service]) =>
    instancesWritten(config, name, service).flatMap(({ path, replicas, instances }) => {
      if (instances === undefined) return [];
      if (Object.keys(instances).length === 0) return [{ path: [...path, 'instances'], message: 'names no instance' }];
      return replicas === undefined
        ? []
        : [{ path: [...path, 'replicas'], message: '"replicas" and "instances" exclude each other', isKey: true }];
    }),
  );
}

function containerName(
  { name, config }: Subject,
  placement: { readonly service: string; readonly instance: string },
): string {
  return `${config.project}-${name}-${placement.service}-${placement.instance}`;
}

/** What cu calls a container while it is replaced. */
const TEMPORARY = /-(new|old|draining-.*)$/;

/** An instance `x-new` beside `x` has the name that the successor of `x` is given for a moment. */
function noTemporaryNames(subject: Subject): readonly Complaint[] {
  const nameOf = (placement: Placement): string => `${placement.host} ${containerName(subject, placement)}`;
  const names = new Set(subject.placements.map(nameOf));
  return subject.placements.flatMap((placement) => {
    const base = nameOf(placement).replace(TEMPORARY, '');
    if (base === nameOf(placement) || !names.has(base)) return [];
    const name = containerName(subject, placement);
    const other = name.replace(TEMPORARY, '');
    return [
      {
        path: placement.path,
        message: `its container ${name} has the name that ${other} gets while it is replaced`,
        hint: 'call it otherwise: -new, -old and -draining- at the end are for cu',
        isKey: true,
      },
    ];
  });
}

/** `a-b` instance `c` and `a` instance `b-c` are one container name. */
function uniqueNames(subject: Subject): readonly Complaint[] {
  const seen = new Map<string, string>();
  return subject.placements.flatMap((placement) => {
    const key = `${placement.host} ${containerName(subject, placement)}`;
    const other = seen.get(key);
    seen.set(key, placement.service);
    if (other === undefined || other === placement.service) return [];
    return [
      {
        path: placement.path,
        message: `its container has the same name as one of ${other}: ${containerName(subject, placement)}`,
        isKey: true,
      },
    ];
  });
}

/** The name is also a host name on the project's network, where 63 characters are the limit. */
function shortNames(subject: Subject): readonly Complaint[] {
  return subject.placements.flatMap((placement) => {
    const full = containerName(subject, placement);
    return full.length <= 63
      ? []
      : [
          {
            path: ['services', placement.service],
            message: `its container's name would have ${full.length} characters, more than 63: ${full}`,
            isKey: true,
          },
        ];
  });
}

function portsNeedNetwork({ config, placements }: Subject): readonly Complaint[] {
  return placements.flatMap((placement) =>
    ['host', 'none'].includes(placement.settings.network) && placement.settings.ports.length > 0
      ? [
          {
            path: settingPath(config, placement, 'ports'),
            message: `with network ${placement.settings.network} no port can be published`,
            hint: 'take `ports` out, or use the project network',
          },
        ]
      : [],
  );
}

function rolloutFits({ config, placements }: Subject): readonly Complaint[] {
  return placements.flatMap((placement) => {
    const { settings, kind } = placement;
    const strategy = settings.rollout?.strategy;
    const path = settingPath(config, placement, 'rollout');
    if (strategy === 'start-first' && settings.ports.length > 0)
      return [
        {
          path,
          message: 'start-first cannot be with a fixed port: the old instance holds it',
          hint: 'use recreate, or proxy for a webserver',
        },
      ];
    if (strategy === 'start-first' && ['beat', 'redis'].includes(kind))
      return [
        {
          path,
          message: `start-first cannot be with kind ${kind}: there would be two for a moment`,
          hint: 'use recreate',
        },
      ];
    if (strategy === 'proxy' && kind !== 'webserver')
      return [{ path, message: `proxy is for kind webserver, not for ${kind}`, hint: 'use recreate or start-first' }];
    return [];
  });
}

/** Without the proxy nobody reads names, paths or the certificate. */
function routeNeedsProxy({ config, placements }: Subject): readonly Complaint[] {
  return placements.flatMap((placement) => {
    const { settings, traits } = placement;
    const strategy = strategyOf(config, placement);
    const isProxied = strategy === 'proxy' && settings.ports.length > 0 && !['host', 'none'].includes(settings.network);
    if (traits.route === undefined || isProxied) return [];
    const { hint, why } =
      settings.ports.length === 0
        ? { why: 'it has no `ports`', hint: 'give it `ports`, which the proxy then listens on' }
        : strategy === 'proxy'
          ? { why: `network: ${settings.network} keeps it from there`, hint: 'leave `network` out' }
          : { why: `its rollout is ${strategy}`, hint: 'set `rollout: proxy`, or take `route` out' };
    return [
      {
        path: settingPath(config, placement, 'route'),
        message: `a route needs the proxy, and ${placement.service} on ${placement.host} is not behind it: ${why}`,
        hint,
      },
    ];
  });
}

function oneBeat({ placements }: Subject): readonly Complaint[] {
  const [first, ...others] = placements.filter((placement) => placement.kind === 'beat');
  const [second] = others;
  if (first === undefined || second === undefined) return [];
  const already = first.service === second.service ? `on ${first.host}` : `as ${first.service}`;
  return [{ path: second.path, message: `a second beat would send every task twice: one runs ${already} already` }];
}

function healthHasPort({ config, placements }: Subject): readonly Complaint[] {
  return placements.flatMap((placement) => {
    const { health, ports } = placement.settings;
    const needsPort = (health?.type === 'http' || health?.type === 'tcp') && health.port === undefined;
    return needsPort && ports.length === 0
      ? [
          {
            path: settingPath(config, placement, 'health'),
            message: `type ${health.type} needs a port: none is published`,
            hint: 'add `port:`, the one inside the container',
          },
        ]
      : [];
  });
}

/** Volumes whose names cu itself uses. */
function ownVolumeNames({ config, placements }: Subject): readonly Complaint[] {
  const brokers = Object.keys(config.services).filter((name) => config.services[name]?.kind === 'redis');
  return placements.flatMap((placement) =>
    placement.settings.mounts.flatMap((mount, index) =>
      mount.type === 'volume' &&
      (mount.name === 'state' || (brokers.includes(mount.name) && placement.service !== mount.name))
        ? [
            {
              path: [...settingPath(config, placement, 'mounts'), index],
              message: `the volume ${show(mount.name)} belongs to ${mount.name === 'state' ? 'cu' : mount.name}`,
              hint: 'choose another name',
            },
          ]
        : [],
    ),
  );
}

function mountTargetsOnce({ config, placements }: Subject): readonly Complaint[] {
  return placements.flatMap((placement) => {
    const seen = new Set<string>();
    return placement.settings.mounts.flatMap((mount, index) => {
      const isTwice = seen.has(mount.target);
      seen.add(mount.target);
      return isTwice
        ? [
            {
              path: [...settingPath(config, placement, 'mounts'), index],
              message: `something is mounted at ${mount.target} already`,
            },
          ]
        : [];
    });
  });
}

/** Results and files have to be where every process of the runtime finds them; a volume is on one host. */
function sharedStorage(subject: Subject): readonly Complaint[] {
  if (subject.config.storage !== undefined) return [];
  const users = subject.placements.filter((placement) => placement.traits.usesStorage);
  const [first] = users;
  const other = users.find((placement) => placement.host !== first?.host);
  if (first === undefined || other === undefined) return [];
  return [
    {
      path: ['services', other.service],
      message: `${first.service} on ${first.host} and ${other.service} on ${other.host} need storage that both reach, and a volume is on one host only`,
      hint: 'add `storage: { root: "file:///DIR" }` with a directory that these hosts share, or an s3:// URL; `storage: none` if the application keeps nothing there',
      isKey: true,
    },
  ];
}
