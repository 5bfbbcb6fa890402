import { fillDisk, freeDisk, mendClock, signalContainer, skewClock } from './host-faults.ts';
import { VICTIM } from './scene.ts';
import type { Scene, SceneSettings } from './scene.ts';
import type { FollowedCu } from '../support/follow.ts';

/** A deploy that a fault is given to. */
export interface Hit {
  readonly scene: Scene;
  readonly running: FollowedCu;
  /** What is being deployed. */
  readonly version: string;
}

export interface Fault {
  readonly name: string;
  /** What the deploy that was hit may exit with; undefined stands for an end by a signal. */
  readonly exits: readonly (number | undefined)[];
  /**
   * Where requests may fail: nowhere; at the host that is itself away; or there once the bad version
   * has taken over, because then no healthy instance is left.
   */
  readonly excuses: 'nobody' | 'victim' | 'victim-once-switched';
  readonly settings?: SceneSettings;
  /** There has to be a worker that it can befall. */
  readonly needsWorkers?: boolean;
  /** What it returns looks at the end of the deploy and tells what is wrong. */
  inject(hit: Hit): Promise<Verdict | void>;
  /** Makes the hosts well again; also after an injection that failed, and twice. */
  heal(scene: Scene): Promise<void>;
}

export type Verdict = (exitCode: number | undefined) => Promise<readonly string[]>;

/** 0 where the fault came too late to matter, 3 an unreachable host, 4 a failed step. */
const HOST_EXITS = [0, 3, 4] as const;

/** A CI runner kills after that (FACTS.md section 4). */
const INTERRUPT_MS = 7000;

const DONE = 0;
const WRONG_HOST = 2;
const STEP_FAILED = 4;
const LOCKED = 5;
const INTERRUPTED = 130;

const nothingToHeal = (): Promise<void> => Promise.resolve();

function signalled(signal: 'SIGINT' | 'SIGTERM' | 'SIGKILL', exit: number | undefined): Fault {
  return {
    name: `${signal} of cu`,
    exits: [DONE, exit],
    excuses: 'nobody',
    inject: async ({ running }) => {
      const sentAt = performance.now();
      running.kill(signal);
      return async () => {
        const tookMs = Math.round(performance.now() - sentAt);
        return tookMs > INTERRUPT_MS ? [`cu went on for ${tookMs} ms after ${signal}`] : [];
      };
    },
    heal: nothingToHeal,
  };
}

/** The version that is being deployed goes bad on one host. */
function badImage(name: string, knob: string, settings: SceneSettings): Fault {
  return {
    name,
    exits: [DONE, STEP_FAILED],
    excuses: 'victim-once-switched',
    settings,
    inject: async ({ scene, version }) => {
      await scene.setKnob(`${version} ${VICTIM} ${knob}`);
      return async (exitCode) => {
        const versions = await scene.versions();
        const isMixed = exitCode === STEP_FAILED && new Set(versions).size > 1;
        return isMixed ? [`versions are mixed after a rollback: ${versions.join(', ')}`] : [];
      };
    },
    heal: (scene) => scene.clearKnobs(),
  };
}

export const FAULTS: readonly Fault[] = [
  signalled('SIGINT', INTERRUPTED),
  signalled('SIGTERM', INTERRUPTED),
  signalled('SIGKILL', undefined),
  {
    name: 'SSH session killed',
    exits: HOST_EXITS,
    excuses: 'nobody',
    inject: ({ scene }) => scene.scenario.testbed.killSessions(VICTIM),
    heal: nothingToHeal,
  },
  {
    name: 'host frozen',
    exits: HOST_EXITS,
    excuses: 'victim',
    inject: ({ scene }) => scene.scenario.testbed.pause(VICTIM),
    // One that is not frozen any more cannot be thawed.
    heal: ({ scenario }) => scenario.testbed.unpause(VICTIM).catch(() => undefined),
  },
  {
    name: 'host dead',
    exits: HOST_EXITS,
    excuses: 'victim',
    inject: ({ scene }) => scene.scenario.testbed.kill(VICTIM),
    heal: ({ scenario }) => scenario.testbed.start(VICTIM),
  },
  {
    name: 'partition',
    exits: HOST_EXITS,
    excuses: 'victim',
    inject: ({ scene }) => scene.scenario.testbed.disconnect(VICTIM),
    heal: ({ scenario }) => scenario.testbed.connect(VICTIM),
  },
  {
    name: 'engine restarted',
    exits: HOST_EXITS,
    excuses: 'victim',
    inject: ({ scene }) => scene.scenario.testbed.restartEngine(VICTIM),
    heal: nothingToHeal,
  },
  {
    name: 'disk full',
    exits: HOST_EXITS,
    excuses: 'nobody',
    inject: ({ scene }) => fillDisk(scene.scenario.testbed, VICTIM),
    heal: ({ scenario }) => freeDisk(scenario.testbed, VICTIM),
  },
  badImage('image that crashes at 5 s', 'crash', { stable: '7s' }),
  badImage('health that never passes', 'sick', {}),
  badImage('health that flaps', 'flap', { stable: '3s' }),
  {
    name: 'worker that ignores SIGTERM',
    needsWorkers: true,
    exits: [DONE],
    excuses: 'nobody',
    inject: async ({ scene }) => {
      await scene.setKnob(`* ${VICTIM} deaf`);
      await forEachWorker(scene, 'STOP');
    },
    heal: async (scene) => {
      await scene.clearKnobs();
      await forEachWorker(scene, 'CONT');
    },
  },
  {
    name: 'clock 10 minutes off',
    // Seen before anything is changed it is refused; later it matters to nobody.
    exits: [DONE, WRONG_HOST],
    excuses: 'nobody',
    inject: ({ scene }) => skewClock(scene.scenario.testbed, VICTIM),
    heal: ({ scenario }) => mendClock(scenario.testbed, VICTIM),
  },
  {
    name: 'two deployers at once',
    exits: [DONE, LOCKED],
    excuses: 'nobody',
    inject: async ({ scene }) => {
      const second = scene.scenario.cu('deploy');
      return async (exitCode) => {
        const { exitCode: other, all } = await second;
        // Before either holds the lock any of them may get it; one deploys, the other is told so.
        const isFair = (exitCode === DONE && other === LOCKED) || (exitCode === LOCKED && other === DONE);
        // The second may also have come just when the first was done.
        const isAfter = exitCode === DONE && other === DONE && all.includes('nothing to do');
        return isFair || isAfter
          ? []
          : [`two deployers exited ${exitCode} and ${other}, not ${DONE} and ${LOCKED}: ${all}`];
      };
    },
    heal: nothingToHeal,
  },
];

async function forEachWorker({ scenario, workers }: Scene, signal: 'STOP' | 'CONT'): Promise<void> {
  if (!workers.includes(VICTIM)) return;
  const names = (await scenario.containers(VICTIM)).map(({ name }) => name);
  for (const container of names.filter((name) => name.includes('-worker-')))
    await signalContainer(scenario.testbed, VICTIM, { container, signal });
}
