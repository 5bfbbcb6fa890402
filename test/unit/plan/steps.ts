import { isAftermath } from '../../../src/core/describe.ts';
import type { InstanceSpec } from '../../../src/core/state.ts';
import type { PlanInput } from '../../../src/plan/input.ts';
import { plan } from '../../../src/plan/plan.ts';
import { applyPlan } from './apply.ts';
import { planInput } from './inputs.ts';
import type { Parts } from './inputs.ts';

/** The input after its own plan was carried out. */
export function deployed(parts: Parts = {}): PlanInput {
  const input = planInput(parts);
  return { ...input, hosts: applyPlan(input, plan(input).plan.nodes) };
}

/** What a person is shown: without what follows every replacement. */
export function steps(input: PlanInput): readonly string[] {
  return plan(input)
    .plan.nodes.filter((node) => !isAftermath(node))
    .map(({ id, cause }) => `${id}: ${cause}`);
}

/** The same hosts, asked for something else. */
export function asked(input: PlanInput, change: Partial<InstanceSpec>): PlanInput {
  const instances = input.instances.map((each) => ({ ...each, ...change }));
  return { ...input, instances, desired: { ...input.desired, instances } };
}
