import { expect, test } from 'vitest';
import { CuError, CuErrors } from '../../../src/core/error.ts';
import { createGithubRenderer, escapeData, githubErrors, githubMasks } from '../../../src/render/github.ts';
import { createPlainRenderer } from '../../../src/render/plain.ts';
import { createQuietRenderer } from '../../../src/render/quiet.ts';
import { plainTheme } from '../../../src/render/theme.ts';
import { build, plan, replace, start } from './nodes.ts';

test('%, and line ends, are escaped', () => {
  expect(escapeData('50%\r\n')).toBe('50%25%0D%0A');
  expect(githubMasks(['a%b', 'c'])).toBe('::add-mask::a%25b\n::add-mask::c\n');
});

test("each of a config's problems is an annotation at its line", () => {
  const detail = 'cu.config.yaml:4:34 services.web: unknown key\n  x: 1\n  ^\ncu.config.yaml:9:1 hosts: nothing here\n';

  expect(githubErrors(new CuError('CONFIG_INVALID', '2 problems in cu.config.yaml', { detail }))).toBe(
    [
      '::error file=cu.config.yaml,line=4,col=34,title=cu::services.web: unknown key',
      '::error file=cu.config.yaml,line=9,col=1,title=cu::hosts: nothing here',
      '',
    ].join('\n'),
  );
});

test('other errors are annotations with their host', () => {
  const errors = new CuErrors([new CuError('TIMEOUT', 'no answer', { host: 'web-1' }), new CuError('USAGE', 'what?')]);

  expect(githubErrors(errors)).toBe('::error title=cu::web-1: no answer\n::error title=cu::what?\n');
});

test("at the end come each host's output in a group, the summary table and the outputs", () => {
  let written = '';
  let summary = '';
  let outputs = '';
  const renderer = createGithubRenderer({
    inner: createQuietRenderer(() => {}, plainTheme),
    write: (text) => void (written += text),
    appendSummary: (text) => void (summary += text),
    appendOutput: (text) => void (outputs += text),
  });

  renderer.on({ type: 'plan-ready', plan });
  renderer.on({ type: 'step-output', node: build, text: 'Step 1/2\n::set-output name=x::y\n' });
  renderer.on({ type: 'step-done', node: start, ms: 400, note: undefined });
  renderer.on({ type: 'step-failed', node: replace, ms: 2000, error: new CuError('UNHEALTHY', 'never healthy') });
  renderer.close();

  expect(written).toBe('::group::local\nStep 1/2\n ::set-output name=x::y\n::endgroup::\n');
  expect(summary.split('\n')).toEqual([
    '| host | what | step | result | time |',
    '| --- | --- | --- | --- | --- |',
    '| web-1 | broker | start shop-dev-broker | done | 0.4s |',
    '| web-2 | worker/big | replace shop-dev-worker-big | **failed** | 2.0s |',
    '',
    '',
  ]);
  expect(outputs).toBe('changed=true');
});

test('what a drain has left is a plain line there too, and no row of the summary', () => {
  let written = '';
  let summary = '';
  const write = (text: string): void => void (written += text);
  const renderer = createGithubRenderer({
    inner: createPlainRenderer({ write, theme: plainTheme, verbose: false, now: () => 0 }),
    write,
    appendSummary: (text) => void (summary += text),
    appendOutput: () => {},
  });

  renderer.on({ type: 'step-progress', node: replace, text: '3 tasks left, oldest 4m', left: 3 });
  renderer.close();

  expect(written).toBe('web-2 worker/big | replace shop-dev-worker-big: 3 tasks left, oldest 4m\n');
  expect(summary).toBe('');
});
