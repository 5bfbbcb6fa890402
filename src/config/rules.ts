import type { Config } from './schema.ts';
import { countPlacements, placements } from './placements.ts';
import type { Complaint } from './problem.ts';
import { BROKER_RULES } from './rules-broker.ts';
import { HOST_RULES } from './rules-hosts.ts';
import { INSTANCE_RULES } from './rules-instances.ts';
import { NAME_RULES } from './rules-names.ts';
import { portClashes } from './rules-ports.ts';
import { RELEASE_RULES } from './rules-release.ts';
import type { Rule } from './rule.ts';

const RULES: readonly Rule[] = [...NAME_RULES, ...HOST_RULES, ...INSTANCE_RULES, ...BROKER_RULES, ...RELEASE_RULES];

interface Checked {
  readonly name: string;
  readonly config: Config;
}

/** Beyond this the config is a slip, such as replicas with a zero too many, and checks would take long. */
const MOST_INSTANCES = 2000;

export function checkEnvironment({ name, config }: Checked): readonly Complaint[] {
  const count = countPlacements(config);
  if (count > MOST_INSTANCES)
    return [
      { path: ['services'], message: `${count} instances: more than ${MOST_INSTANCES} are not supported`, isKey: true },
    ];
  const subject = { name, config, placements: placements(config, name) };
  return RULES.flatMap((rule) => rule(subject));
}

/** What holds between environments: they share hosts. */
export function checkTogether<T extends Checked>(
  environments: readonly T[],
): readonly { readonly environment: T; readonly complaint: Complaint }[] {
  const fit = environments.filter(({ config }) => countPlacements(config) <= MOST_INSTANCES);
  const subjects = fit.map((environment) => ({
    environment,
    subject: { ...environment, placements: placements(environment.config, environment.name) },
  }));
  return subjects.flatMap(({ environment, subject }, index) =>
    subjects
      .slice(0, index)
      .flatMap((other) => portClashes(other.subject, subject).map((complaint) => ({ environment, complaint }))),
  );
}
