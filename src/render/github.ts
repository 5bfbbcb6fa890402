import type { CuError } from '../core/error.ts';
import type { CuEvent } from '../core/event.ts';
import { describeAction, subjectOf } from '../core/describe.ts';
import { clean } from './clean.ts';
import { duration } from './duration.ts';
import { flattenErrors, isAboutConfig } from './error-text.ts';
import type { Renderer } from './renderer.ts';

const CONFIG_POSITION = /^(\S+):(\d+):(\d+) (.*)$/gm;

export interface GithubOptions {
  readonly inner: Renderer;
  readonly write: (text: string) => void;
  readonly appendSummary: (markdown: string) => void;
  readonly appendOutput: (line: string) => void;
}

/** What GitHub Actions adds to plain lines: each host's output folded at the end, the summary table, the step's outputs. */
export function createGithubRenderer({ inner, write, appendSummary, appendOutput }: GithubOptions): Renderer {
  const outputs = new Map<string, string[]>();
  const rows: string[] = [];
  let hasPlan = false;
  let isChanged = false;

  return {
    on(event) {
      inner.on(event);
      if (event.type === 'plan-ready') hasPlan = true;
      if (event.type === 'step-done') isChanged = true;
      if (event.type === 'step-output')
        outputs.set(event.node.host, [...(outputs.get(event.node.host) ?? []), event.text]);
      if (event.type === 'warning') write(`::warning::${escapeData(event.text)}\n`);
      const row = summaryRow(event);
      if (row !== undefined) rows.push(row);
    },
    pause: () => inner.pause(),
    resume: () => inner.resume(),
    close() {
      inner.close();
      for (const [host, texts] of outputs)
        write(`::group::${escapeData(host)}\n${safeOutput(texts.join(''))}\n::endgroup::\n`);
      if (rows.length > 0)
        appendSummary(
          `| host | what | step | result | time |\n| --- | --- | --- | --- | --- |\n${rows.join('\n')}\n\n`,
        );
      if (hasPlan) appendOutput(`changed=${isChanged}`);
    },
  };
}

/** `::error` lines, at the config's line where the error knows it. */
export function githubErrors(error: CuError): string {
  return flattenErrors(error).flatMap(annotations).join('');
}

export function githubMasks(values: readonly string[]): string {
  return values.map((value) => `::add-mask::${escapeData(value)}\n`).join('');
}

function annotations(error: CuError): readonly string[] {
  const placed = [...`${error.message}\n${error.detail ?? ''}`.matchAll(CONFIG_POSITION)];
  if (!isAboutConfig(error) || placed.length === 0) {
    const where = error.host === undefined || error.message.startsWith(`${error.host}: `) ? '' : `${error.host}: `;
    return [`::error title=cu::${escapeData(where + error.message)}\n`];
  }
  return placed.map(([, file = '', line = '', column = '', text = '']) => {
    return `::error file=${escapeProperty(file)},line=${line},col=${column},title=cu::${escapeData(text)}\n`;
  });
}

export function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

/** A build or a container may print `::set-output` and the like: a space before it makes it plain text. */
function safeOutput(text: string): string {
  return clean(text).replaceAll(/^::/gm, ' ::').replaceAll('##[', '## [').replace(/\n+$/, '');
}

function summaryRow(event: CuEvent): string | undefined {
  switch (event.type) {
    case 'step-done':
    case 'step-failed':
    case 'step-skipped': {
      const { verb, object } = describeAction(event.node.action);
      const result = event.type === 'step-done' ? 'done' : event.type === 'step-failed' ? '**failed**' : 'skipped';
      const time = event.type === 'step-skipped' ? '' : duration(event.ms);
      return `| ${[event.node.host, subjectOf(event.node.action), `${verb} ${object}`, result, time].map(cell).join(' | ')} |`;
    }
    case 'phase':
    case 'plan-ready':
    case 'step-started':
    case 'step-progress':
    case 'step-output':
    case 'hook-output':
    case 'job-changed':
    case 'job-log':
    case 'transfer':
    case 'host-unreachable':
    case 'warning':
    case 'debug':
      return undefined;
  }
}

function cell(text: string): string {
  return clean(text).replaceAll('|', '\\|').replaceAll('\n', ' ');
}
