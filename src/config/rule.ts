import type { Placement } from './placements.ts';
import type { Complaint } from './problem.ts';
import type { Config } from './schema.ts';

/** What a rule looks at: one environment, and the instances that it comes to. */
export interface Subject {
  readonly name: string;
  readonly config: Config;
  readonly placements: readonly Placement[];
}

/** One check across fields, before Docker or a host sees anything. */
export type Rule = (subject: Subject) => readonly Complaint[];
