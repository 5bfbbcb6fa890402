import pLimit from 'p-limit';
import type { Release, ReleaseImage, ReleaseOutcome } from '../core/release.ts';
import type { Host } from '../transport/host.ts';
import { writeRelease } from './history.ts';

const PARALLEL = 16;
const END_MS = 5000;
/** A run that was interrupted has seven seconds until CI kills it, and has put back what it had begun by now. */
const HURRIED_END_MS = 1500;

/** Writes one release to its hosts: when it begins, and over that with what became of it. */
export interface Recorder {
  begin(): Promise<void>;
  /** Also after an interrupt. `images`: what is known only now, such as the ids of pulled ones. */
  end(outcome: ReleaseOutcome, reason: string | undefined, images?: Release['images']): Promise<void>;
}

export interface RecorderOptions {
  readonly now: () => number;
  readonly signal: AbortSignal;
  /** A host that is gone must not fail a deploy that worked. */
  readonly warn: (host: string, text: string) => void;
}

export function openRecorder(hosts: readonly Host[], release: Release, options: RecorderOptions): Recorder {
  const limit = pLimit(PARALLEL);
  const write = async (record: Release, signal: AbortSignal): Promise<void> => {
    await Promise.all(hosts.map((host) => limit(() => writeTo(host, record, signal))));
  };
  // A host without state gets it by a step of its first deploy: nothing to warn of when it begins.
  const writeTo = async (host: Host, record: Release, signal: AbortSignal): Promise<void> => {
    try {
      await writeRelease(host, record, signal);
    } catch (error) {
      if (options.signal.aborted && signal === options.signal) return;
      const why = error instanceof Error ? error.message : String(error);
      options.warn(host.name, `the history there has no record of this: ${why}`);
    }
  };
  return {
    begin: () => write(release, options.signal),
    end: (outcome, reason, images: Readonly<Record<string, ReleaseImage>> = release.images) =>
      write(
        { ...release, outcome, reason, images, endedAt: options.now() },
        AbortSignal.timeout(options.signal.aborted ? HURRIED_END_MS : END_MS),
      ),
  };
}
