import { expect, test } from 'vitest';
import { planText } from '../../../src/render/plan-text.ts';
import { plainTheme } from '../../../src/render/theme.ts';
import { node, plan } from './nodes.ts';

test('a plan is a line for each step, host by host, and the counts', () => {
  expect(planText(plan, plainTheme).split('\n')).toEqual([
    '· local  build app r2.h1 (code changed)',
    '· web-1  pull redis:8 (not found)',
    '+ web-1  start shop-dev-broker (not found)',
    '~ web-2  replace shop-dev-worker-big (image changed)',
    '- web-2  remove shop-dev-old (no longer in the config)',
    '',
    '1 to create, 1 to replace, 1 to remove, 1 to build, 1 to pull across 2 hosts',
  ]);
});

test('an empty plan says that there is nothing to do', () => {
  expect(planText({ nodes: [] }, plainTheme)).toBe('nothing to do');
});

test('what a cause quotes from a host cannot move the cursor', () => {
  const evil = node(
    'web-1/x/remove',
    { type: 'remove-container', name: 'x', id: '1', drainMs: 0 },
    { cause: 'stopped by\u001B[2J\nhand' },
  );

  expect(planText({ nodes: [evil] }, plainTheme)).toContain('- web-1  remove x (stopped by hand)');
});
