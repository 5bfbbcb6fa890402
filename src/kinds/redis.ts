import { z } from 'zod';
import { secretReference } from './fields.ts';
import { defineKind } from './kind.ts';

const CONFIG_PATH = '/run/cu/redis.conf';

export const redis = defineKind({
  kind: 'redis',
  summary: 'the broker, with every accepted task on disk',
  schema: {
    fsync: z.enum(['always', 'everysec']).default('always'),
    password: secretReference.optional(),
  },
  expand: (settings, { project, environment, service }) => {
    const port = settings.ports[0]?.containerPort ?? 6379;
    const hasOwnData = settings.mounts.some((mount) => mount.target === '/data');
    return {
      command: ['redis-server', CONFIG_PATH],
      env: {},
      files: [
        {
          path: CONFIG_PATH,
          mode: 0o444,
          content: [
            `bind * -::*\nport ${port}\nprotected-mode no\nuser default on #`,
            { type: 'broker-password-sha256' },
            ` ~* &* +@all\ndir /data\nappendonly yes\nappendfsync ${settings.fsync}\nsave ""\nmaxmemory-policy noeviction\n`,
          ],
        },
      ],
      mounts: hasOwnData
        ? []
        : [{ type: 'volume', name: `${project}-${environment}-${service}`, target: '/data', readOnly: false }],
      health: { probe: { type: 'redis', port }, intervalMs: 200 },
      drainMs: 10_000,
      rollout: 'recreate',
      phase: 0,
      singleton: false,
      wantsBroker: false,
      usesStorage: false,
      broker: { containerPort: port, password: settings.password?.secret },
    };
  },
});
