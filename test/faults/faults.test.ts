import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FAULTS } from './faults.ts';
import { POINTS } from './points.ts';
import { StrikeTable } from './report.ts';
import { openScene, SECOND, VICTIM } from './scene.ts';
import type { Scene } from './scene.ts';
import { strike } from './strike.ts';

/** Parts of names, comma-separated: `CU_FAULTS=SIGINT,partition CU_POINTS=switch`. */
const points = chosen(POINTS, process.env['CU_POINTS']);
const REPEAT = Number(process.env['CU_REPEAT'] ?? '1');

/** `CU_TASKS=0` leaves the workers out, which is three times as fast. */
const workers = process.env['CU_TASKS'] === '0' ? [] : [SECOND, VICTIM];
const faults = chosen(
  FAULTS.filter(({ needsWorkers }) => needsWorkers !== true || workers.length > 0),
  process.env['CU_FAULTS'],
);

/** Another one on other hosts: this machine's engine builds for both. */
const PROJECT = VICTIM === 'host3' ? 'faults' : `faults${VICTIM}`;

const table = new StrikeTable();
let scene: Scene;

beforeAll(async () => {
  scene = await openScene({ project: PROJECT, port: 8641, workers });
});

afterAll(async () => {
  table.print();
  await scene[Symbol.asyncDispose]();
});

describe.each(points)('$name', (point) => {
  describe.each(faults)('$name', (fault) => {
    test.each(Array.from({ length: REPEAT }, (_, index) => index + 1))('is survived (%i)', async () => {
      const { problems } = await strike(scene, fault, point).catch((error: unknown) => ({ problems: [String(error)] }));

      table.add(fault.name, point.name, problems.length === 0);
      await table.write(process.env['CU_REPORT']);
      if (problems.length > 0) process.stderr.write(`${fault.name}, ${point.name}:\n${problems.join('\n')}\n`);
      expect(problems).toEqual([]);
    });
  });
});

function chosen<T extends { readonly name: string }>(all: readonly T[], filter: string | undefined): readonly T[] {
  if (filter === undefined || filter === '') return all;
  const found = all.filter(({ name }) => filter.split(',').some((part) => name.includes(part)));
  if (found.length === 0) throw new Error(`none of ${all.map(({ name }) => name).join(', ')} is like ${filter}`);
  return found;
}
