import type { PlanNode, Plan } from './action.ts';
import type { CuError } from './error.ts';
import type { JobState } from './job.ts';
import type { HookMoment } from './rollout.ts';

/** Everything that happens, in the order it happens; renderers turn it into lines or JSON. */
export type CuEvent =
  | { readonly type: 'phase'; readonly text: string }
  | { readonly type: 'plan-ready'; readonly plan: Plan }
  | { readonly type: 'step-started'; readonly node: PlanNode }
  | {
      readonly type: 'step-progress';
      readonly node: PlanNode;
      readonly text: string;
      /** Of a step that waits for work to end: how many tasks or requests are left. */
      readonly left?: number | undefined;
    }
  | { readonly type: 'step-output'; readonly node: PlanNode; readonly text: string }
  | { readonly type: 'step-done'; readonly node: PlanNode; readonly ms: number; readonly note: string | undefined }
  | { readonly type: 'step-failed'; readonly node: PlanNode; readonly ms: number; readonly error: CuError }
  | { readonly type: 'step-skipped'; readonly node: PlanNode; readonly why: string }
  /** A line of a command on this machine, before or after a deploy. */
  | { readonly type: 'hook-output'; readonly moment: HookMoment; readonly text: string }
  /** A call of the web API that became a job, each time it says something. */
  | {
      readonly type: 'job-changed';
      readonly job: string;
      readonly name: string;
      readonly state: JobState;
      /** 0 to 1. */
      readonly progress: number | undefined;
      readonly message: string;
    }
  | { readonly type: 'job-log'; readonly job: string; readonly name: string; readonly text: string }
  /** A file on its way to the web API, or a result from there. */
  | {
      readonly type: 'transfer';
      readonly direction: 'up' | 'down';
      readonly name: string;
      readonly bytes: number;
      readonly totalBytes: number | undefined;
      readonly isDone: boolean;
    }
  | { readonly type: 'host-unreachable'; readonly host: string; readonly error: CuError }
  | { readonly type: 'warning'; readonly host: string | undefined; readonly text: string }
  | { readonly type: 'debug'; readonly host: string | undefined; readonly text: string };

export type Emit = (event: CuEvent) => void;

/** What a step says while it is under way, and how much work is left where it waits for the end of some. */
export type OnProgress = (text: string, left?: number) => void;
