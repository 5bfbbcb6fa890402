import { expect, test } from 'vitest';
import { parseCallArguments } from '../../../src/cli/call-arguments.ts';

test.each([
  ['zoom=3', { type: 'json', text: '3' }],
  ['zoom=3.0', { type: 'json', text: '3.0' }],
  ['zoom=12345678901234567890', { type: 'json', text: '12345678901234567890' }],
  ['zoom=far', { type: 'json', text: '"far"' }],
  ['zoom=', { type: 'json', text: '""' }],
  ['zoom=a=b', { type: 'json', text: '"a=b"' }],
  ['zoom={"x": [1, null]}', { type: 'json', text: '{"x": [1, null]}' }],
  ['zoom:="3"', { type: 'json', text: '"3"' }],
  ['zoom:="@here"', { type: 'json', text: '"@here"' }],
  ['zoom=@tiles/a b.tif', { type: 'file', path: 'tiles/a b.tif' }],
  ['zoom=-', { type: 'stdin' }],
  ['zoom=line\nline', { type: 'json', text: String.raw`"line\nline"` }],
])('%s', (word, expected) => {
  expect(parseCallArguments([word])).toEqual([{ name: 'zoom', ...expected }]);
});

test.each([
  [['zoom'], '"zoom" is no argument of a call'],
  [['=3'], '"=3" is no argument of a call'],
  [['zoom:=far'], 'zoom:=far is not JSON'],
  [['zoom:=NaN'], 'zoom:=NaN is not JSON'],
  [['zoom=@'], 'zoom=@ names no file'],
  [['zoom=1', 'zoom=2'], 'the argument zoom is given twice'],
  [['zoom=-', 'tile=-'], 'stdin can be read for one argument only, not for tile too'],
])('%j is refused', (words, message) => {
  expect(() => parseCallArguments(words)).toThrow(
    expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(message) }),
  );
});
