import type { Context } from './context.ts';
import { lifecycle } from './lifecycle.ts';
import type { LifecycleResult } from './lifecycle.ts';

export function stop(context: Context, targets: readonly string[]): Promise<LifecycleResult> {
  return lifecycle(context, 'stop', targets);
}
