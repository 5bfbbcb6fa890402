import { didYouMean } from './issues.ts';
import { show, type Complaint, type Path } from './problem.ts';
import { hostsOf, settingPath } from './placements.ts';
import type { Rule, Subject } from './rule.ts';
import { own } from './schema.ts';

/** Every name that something else has to define. */
export const NAME_RULES: readonly Rule[] = [
  knownHosts,
  knownImages,
  knownUsers,
  knownSecrets,
  knownBuilders,
  knownDependencies,
  endingDependencies,
  serviceIsNoHost,
];

function knownHosts({ config }: Subject): readonly Complaint[] {
  const hosts = Object.keys(config.hosts);
  return Object.entries(config.services).flatMap(([name, service]) => {
    const places = hostsOf(config, name, service);
    if (places.length === 0)
      return [
        { path: ['services', name], message: `runs on no host: add \`on: [${hosts[0] ?? 'HOST'}]\``, isKey: true },
      ];
    return places.flatMap(({ host, path }) =>
      hosts.includes(host) ? [] : [unknown('host', host, hosts, path, 'hosts', typeof path.at(-1) === 'string')],
    );
  });
}

function knownImages({ config, placements }: Subject): readonly Complaint[] {
  const images = Object.keys(config.images);
  return placements.flatMap(({ service, kind, settings, path }) => {
    if (settings.image === undefined) {
      if (kind === 'redis' || kind === 'sshfs' || images.length === 1) return [];
      return [
        {
          path: ['services', service],
          message: 'names no image',
          hint: images.length === 0 ? 'add one under `images`' : `add \`image: ${images[0] ?? ''}\``,
          isKey: true,
        },
      ];
    }
    if (images.includes(settings.image) || (settings.image === 'redis' && kind === 'redis')) return [];
    return [unknown('image', settings.image, images, settingPath(config, { service, path }, 'image'), 'images')];
  });
}

function knownUsers({ config, placements }: Subject): readonly Complaint[] {
  const users = Object.keys(config.users);
  return placements.flatMap(({ service, settings, path }) =>
    settings.user === undefined || own(config.users, settings.user) !== undefined
      ? []
      : [unknown('user', settings.user, users, settingPath(config, { service, path }, 'user'), 'users')],
  );
}

/** A name close to a required one is a slip; any other is a secret that only this service needs. */
function knownSecrets({ config, placements }: Subject): readonly Complaint[] {
  const { required } = config.secrets;
  const ofServices = placements.flatMap((placement) =>
    placement.settings.secrets.map((secret, index) => ({
      secret,
      path: [...settingPath(config, placement, 'secrets'), index],
    })),
  );
  const ofBuilds = Object.entries(config.images).flatMap(([name, image]) =>
    (image.build?.secrets ?? []).map((secret, index) => ({
      secret,
      path: ['images', name, 'build', 'secrets', index],
    })),
  );
  const ofRegistries = Object.entries(config.registries).map(([host, registry]) => ({
    secret: registry.password.secret,
    path: ['registries', host, 'password', 'secret'],
  }));
  return [...ofServices, ...ofBuilds, ...ofRegistries].flatMap(({ secret, path }) => {
    const hint = required.includes(secret) ? undefined : didYouMean(secret, required);
    return hint === undefined
      ? []
      : [
          {
            path,
            message: `the secret ${show(secret)} is not under secrets.required`,
            hint: `${hint} If not, add it there`,
          },
        ];
  });
}

function knownBuilders({ config }: Subject): readonly Complaint[] {
  const hosts = ['local', ...Object.keys(config.hosts)];
  return Object.entries(config.images).flatMap(([name, image]) =>
    image.build === undefined || hosts.includes(image.build.on)
      ? []
      : [unknown('host', image.build.on, hosts, ['images', name, 'build', 'on'], 'hosts')],
  );
}

function knownDependencies({ config }: Subject): readonly Complaint[] {
  const services = Object.keys(config.services);
  return Object.entries(config.services).flatMap(([name, service]) =>
    service.dependsOn.flatMap((other, index) =>
      services.includes(other)
        ? []
        : [unknown('service', other, services, ['services', name, 'dependsOn', index], 'services')],
    ),
  );
}

function endingDependencies({ config }: Subject): readonly Complaint[] {
  const next = (name: string): readonly string[] => own(config.services, name)?.dependsOn ?? [];
  return Object.keys(config.services).flatMap((name) => {
    const way = wayBack(name, next);
    return way === undefined || firstOf(way) !== name
      ? []
      : [{ path: ['services', name, 'dependsOn'], message: `depends on itself: ${way.join(' -> ')}` }];
  });
}

function serviceIsNoHost({ config }: Subject): readonly Complaint[] {
  return Object.keys(config.services)
    .filter((name) => own(config.hosts, name) !== undefined)
    .map((name) => ({
      path: ['services', name],
      message: 'is also the name of a host',
      hint: 'rename one of them: a command could mean either',
      isKey: true,
    }));
}

/** A way through `next` from a name back to itself, looked for without going anywhere twice. */
export function wayBack(from: string, next: (name: string) => readonly string[]): readonly string[] | undefined {
  const cameFrom = new Map<string, string>();
  const queue = [from];
  for (const name of queue) {
    for (const following of next(name)) {
      if (following === from) {
        const way = [from];
        for (let at: string | undefined = name; at !== undefined && at !== from; at = cameFrom.get(at)) way.unshift(at);
        return [from, ...way];
      }
      if (cameFrom.has(following)) continue;
      cameFrom.set(following, name);
      queue.push(following);
    }
  }
  return undefined;
}

/** A circle is one mistake: it is told at the name that sorts first. */
export function firstOf(way: readonly string[]): string | undefined {
  return [...way].sort()[0];
}

function unknown(
  what: string,
  name: string,
  names: readonly string[],
  path: Path,
  section: string,
  isKey = false,
): Complaint {
  const listed =
    names.length === 0 ? `there are none: add it under \`${section}\`` : `known are ${names.slice(0, 10).join(', ')}`;
  return { path, message: `no ${what} is called ${show(name)}`, hint: didYouMean(name, names) ?? listed, isKey };
}
