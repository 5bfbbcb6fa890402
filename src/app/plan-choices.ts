import { CuError, CuErrors } from '../core/error.ts';

/** What a command line says that makes another plan of the same config and hosts. */
export interface PlanChoices {
  readonly targets: readonly string[];
  readonly version: string | undefined;
  readonly noBuild: boolean;
  /** Rest between the batches of a service. */
  readonly pauseMs: number;
  /** Old containers finish their work with nobody waiting for them. */
  readonly isDetached: boolean;
}

/** The same as a command line gives it; what is not said is undefined, empty or false. */
export interface GivenChoices extends Omit<PlanChoices, 'pauseMs'> {
  readonly pauseMs: number | undefined;
  readonly rebuild: boolean;
}

/** The choices of a saved plan; they may be said again, but not otherwise. */
export function recallChoices(file: string, saved: PlanChoices, given: GivenChoices): PlanChoices {
  const before = wordsOf({ ...saved, rebuild: false });
  const problems = Object.entries(wordsOf(given)).flatMap(([key, words]) => {
    const known = before[key];
    if (words === undefined || words === known) return [];
    const message = known === undefined ? `without ${words}` : `with ${known}, not ${words}`;
    return [
      new CuError('USAGE', `${file} was made ${message}`, {
        hint: 'leave it out, or make a plan with it: `cu plan --out FILE`',
      }),
    ];
  });
  if (problems.length > 0) throw new CuErrors(problems);
  return saved;
}

/** By choice as a person writes it; undefined where nothing was chosen. */
function wordsOf(choices: GivenChoices): Readonly<Record<string, string | undefined>> {
  const { targets, version, noBuild, pauseMs, isDetached, rebuild } = choices;
  return {
    targets: targets.length === 0 ? undefined : `the targets ${targets.toSorted().join(' ')}`,
    version: version === undefined ? undefined : `--version ${version}`,
    noBuild: noBuild ? '--no-build' : undefined,
    pause:
      pauseMs === undefined ? undefined : `--pause ${pauseMs % 1000 === 0 ? `${pauseMs / 1000}s` : `${pauseMs}ms`}`,
    detach: isDetached ? '--detach' : undefined,
    rebuild: rebuild ? '--rebuild' : undefined,
  };
}
