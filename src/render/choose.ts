export interface OutputSituation {
  readonly json: boolean;
  readonly quiet: boolean;
  /** From `--color` and `--no-color`. */
  readonly color: boolean | undefined;
  readonly isStdinTty: boolean;
  readonly isStdoutTty: boolean;
  readonly isStderrTty: boolean;
  readonly columns: number;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface OutputChoice {
  readonly renderer: 'tty' | 'plain' | 'json' | 'quiet';
  readonly stdoutColor: boolean;
  readonly stderrColor: boolean;
  readonly interactive: boolean;
  readonly isGithub: boolean;
}

const NARROWEST = 40;

/** How to talk to whoever reads this: the only place that looks at flags, terminals, CI, TERM, NO_COLOR and FORCE_COLOR. */
export function chooseOutput(situation: OutputSituation): OutputChoice {
  const { json, quiet, env, isStdinTty, isStdoutTty, isStderrTty, columns } = situation;
  const isCi = isSet(env['CI']) && env['CI'] !== 'false';
  const isDumb = env['TERM'] === 'dumb';
  const canRedraw = isStderrTty && !isCi && !isDumb && columns >= NARROWEST;
  return {
    renderer: json ? 'json' : quiet ? 'quiet' : canRedraw ? 'tty' : 'plain',
    stdoutColor: !json && wantsColor(situation, isStdoutTty && !isDumb),
    stderrColor: wantsColor(situation, isStderrTty && !isDumb),
    interactive: isStdinTty && isStderrTty && !isCi && !json,
    isGithub: env['GITHUB_ACTIONS'] === 'true' && !json,
  };
}

function wantsColor({ color, env }: OutputSituation, isTty: boolean): boolean {
  if (color !== undefined) return color;
  if (isSet(env['NO_COLOR'])) return false;
  if (isSet(env['FORCE_COLOR'])) return env['FORCE_COLOR'] !== '0' && env['FORCE_COLOR'] !== 'false';
  return isTty;
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== '';
}
