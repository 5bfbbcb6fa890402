import { expect, test } from 'vitest';
import { parseState } from '../../../src/observe/state.ts';

const HOLD = { message: 'measuring', who: 'ana@laptop', since: 1 };

function holdIn(text: string | undefined): unknown {
  const files = new Map([['spec-key', 'k'], ...(text === undefined ? [] : [['hold', text] as const])]);
  return parseState(files)?.hold;
}

test('a folder without its key is no state', () => {
  expect(parseState(new Map())).toBeUndefined();
  expect(parseState(new Map([['spec-key', '']]))).toBeUndefined();
});

test('a hold is what was written, an empty file is none', () => {
  expect(holdIn(JSON.stringify(HOLD))).toEqual(HOLD);
  expect(holdIn(undefined)).toBeUndefined();
  expect(holdIn('')).toBeUndefined();
});

test('a hold that cannot be read holds all the same', () => {
  expect(holdIn('{"message": "measu')).toMatchObject({ who: 'somebody' });
  expect(holdIn('{}')).toMatchObject({ message: 'the hold cannot be read' });
});
