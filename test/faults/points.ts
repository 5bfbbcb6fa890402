import type { CuLine } from '../support/follow.ts';

/** A moment of a deploy, told by what cu says; `victim` is the host that gets the faults. */
export interface Point {
  readonly name: string;
  isReached(lines: readonly CuLine[], victim: string): boolean;
}

/** The words by which cu tells where it is. One place, so that a change of words is a change here. */
const WORDS = {
  waiting: /waiting until it is healthy|health/,
  switched: /switch|traffic|draining the old one/,
  draining: /draining the old one|stopping the old one|finish/,
} as const;

const GATED = ['create-container', 'replace-container'];

const some = (is: (line: CuLine, victim: string) => boolean): Point['isReached'] => {
  return (lines, victim) => lines.some((line) => is(line, victim));
};

const isStarted = (line: CuLine, ...actions: readonly string[]): boolean =>
  line.type === 'step-started' && actions.includes(line.action ?? '');

/** Of the web service, which is the last to be rolled out and the one that the load asks. */
const isWebOn = (line: CuLine, host: string): boolean => line.host === host && line.step?.includes('-web-') === true;

const isGatedOn = (line: CuLine, host: string): boolean => isWebOn(line, host) && GATED.includes(line.action ?? '');

const says = (line: CuLine, words: RegExp): boolean => line.type === 'step-progress' && words.test(line.text ?? '');

export const POINTS: readonly Point[] = [
  { name: 'before it connects', isReached: some((line) => line.type === 'phase') },
  { name: 'when the plan is made', isReached: some((line) => line.type === 'plan') },
  { name: 'when the build begins', isReached: some((line) => isStarted(line, 'build-image')) },
  { name: 'when shipping begins', isReached: some((line) => isStarted(line, 'ship-image')) },
  {
    name: 'during the transfer',
    isReached: some((line) => line.action === 'ship-image' && ['step-progress', 'step-done'].includes(line.type)),
  },
  { name: 'when the first one is replaced', isReached: some((line) => isStarted(line, ...GATED)) },
  {
    name: 'while the new one is not healthy yet',
    isReached: some((line, victim) => isGatedOn(line, victim) && says(line, WORDS.waiting)),
  },
  { name: 'right after the switch', isReached: hasSwitched },
  {
    name: 'while the old one is drained',
    isReached: some(
      (line, victim) => isWebOn(line, victim) && (isStarted(line, 'drain-container') || says(line, WORDS.draining)),
    ),
  },
  {
    name: 'two steps before the end',
    isReached: (lines) => {
      const planned = lines.find((line) => line.type === 'plan')?.steps;
      const done = lines.filter((line) => line.type === 'step-done').length;
      return planned !== undefined && done >= planned.length - 2;
    },
  },
];

/** Whether the victim's traffic may go to the new version already: from then on a bad one can do harm. */
export function hasSwitched(lines: readonly CuLine[], victim: string): boolean {
  return lines.some((line) => isGatedOn(line, victim) && (line.type === 'step-done' || says(line, WORDS.switched)));
}
