import { expect, test } from 'vitest';
import { parseBusy } from '../../../src/execute/finish-work.ts';

test.each([
  ['3 250\n', 3, '3 tasks left, oldest 4m'],
  ['1 8\n', 1, '1 task left, oldest 8s'],
])('what a worker wrote, %j, is said in words', (written, tasks, text) => {
  expect(parseBusy(written)).toEqual({ tasks, text });
});

test.each(['0 0\n', '', '12', '3 25', 'busy\n', '-1 3\n'])('%j says of no task', (written) => {
  expect(parseBusy(written).tasks).toBe(0);
});
