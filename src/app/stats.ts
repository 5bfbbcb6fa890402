import { z } from 'zod/mini';
import type { Host } from '../transport/host.ts';
import type { Context } from './context.ts';

const stats = z.object({
  cpu_stats: z.object({
    cpu_usage: z.object({ total_usage: z.number() }),
    system_cpu_usage: z.optional(z.number()),
    online_cpus: z.optional(z.number()),
  }),
  precpu_stats: z.object({
    cpu_usage: z.object({ total_usage: z.number() }),
    system_cpu_usage: z.optional(z.number()),
  }),
  memory_stats: z.object({
    usage: z.optional(z.number()),
    limit: z.optional(z.number()),
    stats: z.optional(z.record(z.string(), z.number())),
  }),
});

/** As `docker stats` counts: memory without the page cache, CPU over the last second in percent of one core. */
export async function readStats(
  context: Context,
  host: Host,
  id: string,
): Promise<{ readonly cpuPercent: number; readonly memoryBytes: number } | undefined> {
  const answer = await host.docker().json({
    method: 'GET',
    path: `/containers/${id}/stats`,
    query: { stream: false },
    signal: context.signal,
    allow: [404, 409],
  });
  const found = stats.safeParse(answer);
  if (!found.success) return undefined;
  const { cpu_stats: now, precpu_stats: before, memory_stats: memory } = found.data;
  const used = now.cpu_usage.total_usage - before.cpu_usage.total_usage;
  const all = (now.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0);
  const cache = memory.stats?.['total_inactive_file'] ?? memory.stats?.['inactive_file'] ?? 0;
  return {
    cpuPercent: all > 0 ? (used / all) * (now.online_cpus ?? 1) * 100 : 0,
    memoryBytes: Math.max(0, (memory.usage ?? 0) - cache),
  };
}
