import { join } from 'node:path';
import process from 'node:process';
import { run } from './measure.ts';
import type { Row } from './report.ts';

/** What `runtime.py` measures of the Python runtime, all in one run. */
interface RuntimeFigures {
  readonly hit_ms: number;
  readonly hits_per_second: number;
  readonly celery_hits_per_second: number;
  readonly miss_ms: number;
  readonly tasks_per_second: number;
  readonly tree_nodes: number;
  readonly tree_seconds: number;
  readonly tree_redis_peak_mb: number;
  readonly tree_redis_left_mb: number;
  readonly web_rss_mb: number;
}

/** Needs the Python environment that `npm test` makes, or `CU_PYTHON`. */
export async function benchRuntime(root: string): Promise<readonly Row[]> {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(process.env['HOME'] ?? '', '.cache');
  const python = process.env['CU_PYTHON'] ?? join(cache, 'cu', 'python-venv', 'bin', 'python');
  const { stdout } = await run([python, join(root, 'scripts', 'bench', 'runtime.py')], { cwd: root, env: process.env });
  const figures: RuntimeFigures = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  const least = (at: number, of: string) => ({ at, of, isLeast: true });
  return [
    { name: 'HTTP cache hit, keep-alive, median', value: figures.hit_ms, unit: 'ms', limit: { at: 1, of: 'ms' } },
    { name: 'HTTP cache hits, one process', value: figures.hits_per_second, unit: '/s', limit: least(1000, '/s') },
    { name: 'a hit by a Celery task and back', value: figures.celery_hits_per_second, unit: '/s' },
    {
      name: 'HTTP cache hits against that',
      value: figures.hits_per_second,
      unit: '/s',
      base: figures.celery_hits_per_second,
      limit: least(20, 'x that'),
    },
    { name: 'a miss: submit to committed result', value: figures.miss_ms, unit: 'ms', limit: { at: 15, of: 'ms' } },
    { name: 'small tasks, two processes', value: figures.tasks_per_second, unit: '/s', limit: least(500, '/s') },
    { name: `a tree of ${figures.tree_nodes} nodes of 100 kB`, value: figures.tree_seconds, unit: 's' },
    { name: '  Redis at its peak', value: figures.tree_redis_peak_mb, unit: 'MB', limit: { at: 32, of: 'MB' } },
    { name: '  Redis afterwards', value: figures.tree_redis_left_mb, unit: 'MB', limit: { at: 4, of: 'MB' } },
    { name: '  the webserver', value: figures.web_rss_mb, unit: 'MB' },
  ];
}
