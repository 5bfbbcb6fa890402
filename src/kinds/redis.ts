import { z } from 'zod';
import type { BrokerUser, TextPart } from '../core/state.ts';
import { secretReference } from './fields.ts';
import { defineKind } from './kind.ts';

const CONFIG_PATH = '/run/cu/redis.conf';

/** Everything that works on the keys that one may reach, nothing that concerns the server; a worker asks how long Redis is up. */
const COMMANDS = '+@all -@admin -@dangerous +info';

export const redis = defineKind({
  kind: 'redis',
  summary: 'the broker, with every accepted task on disk',
  schema: {
    fsync: z.enum(['always', 'everysec']).default('always'),
    password: secretReference.optional(),
  },
  expand: (settings, { project, environment, service }) => {
    const port = settings.ports[0]?.containerPort ?? 6379;
    const prefix = `cu:${project}:${environment}:`;
    const ownKeys = `~${prefix}* &${prefix}*`;
    const hasOwnData = settings.mounts.some((mount) => mount.target === '/data');
    return {
      command: ['redis-server', CONFIG_PATH],
      env: {},
      files: [
        {
          path: CONFIG_PATH,
          mode: 0o444,
          content: [
            // Nobody can log in as `default`, but Redis itself replays its log as that user: without permissions it
            // would leave out every transaction, so every script, and with them all accepted calls (seen with Redis 8.0).
            `bind * -::*\nport ${port}\nprotected-mode no\nuser default off resetpass ~* &* +@all\n`,
            ...aclOf('admin', '~* &* +@all'),
            ...aclOf('web', `${ownKeys} ${COMMANDS}`),
            ...aclOf('worker', `${ownKeys} ${celeryPatterns(prefix)} ${COMMANDS}`),
            `dir /data\nappendonly yes\nappendfsync ${settings.fsync}\nsave ""\nmaxmemory-policy noeviction\n`,
          ],
        },
      ],
      mounts: hasOwnData
        ? []
        : [{ type: 'volume', name: `${project}-${environment}-${service}`, target: '/data', readOnly: false }],
      health: { probe: { type: 'redis', port }, intervalMs: 200, stableMs: 0 },
      drainMs: 10_000,
      stopSignal: undefined,
      rollout: 'recreate',
      phase: 0,
      singleton: false,
      brokerUser: undefined,
      usesStorage: false,
      route: undefined,
      broker: { containerPort: port, password: settings.password?.secret },
    };
  },
});

/** A pattern is subscribed to only where the ACL has it letter by letter; these are Celery's, for control and events. */
function celeryPatterns(prefix: string): string {
  return ['celery.pidbox', 'celeryev/*', 'celeryev/worker.*'].map((topic) => `&${prefix}mq:/0.${topic}`).join(' ');
}

/** A line of the ACL; the file holds no password, only what proves that one knows it. */
function aclOf(user: BrokerUser, rules: string): readonly TextPart[] {
  return [`user ${user} on #`, { type: 'broker-password-sha256', user }, ` ${rules}\n`];
}
