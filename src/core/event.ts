import type { PlanNode, Plan } from './action.ts';
import type { CuError } from './error.ts';

/** Everything that happens, in the order it happens; renderers turn it into lines or JSON. */
export type CuEvent =
  | { readonly type: 'phase'; readonly text: string }
  | { readonly type: 'plan-ready'; readonly plan: Plan }
  | { readonly type: 'step-started'; readonly node: PlanNode }
  | { readonly type: 'step-progress'; readonly node: PlanNode; readonly text: string }
  | { readonly type: 'step-output'; readonly node: PlanNode; readonly text: string }
  | { readonly type: 'step-done'; readonly node: PlanNode; readonly ms: number; readonly note: string | undefined }
  | { readonly type: 'step-failed'; readonly node: PlanNode; readonly ms: number; readonly error: CuError }
  | { readonly type: 'step-skipped'; readonly node: PlanNode; readonly why: string }
  | { readonly type: 'host-unreachable'; readonly host: string; readonly error: CuError }
  | { readonly type: 'warning'; readonly host: string | undefined; readonly text: string }
  | { readonly type: 'debug'; readonly host: string | undefined; readonly text: string };

export type Emit = (event: CuEvent) => void;
