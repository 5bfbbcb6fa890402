import { once } from 'node:events';
import { CuError, exitCodeOf } from '../core/error.ts';
import type { CuEvent, Emit } from '../core/event.ts';
import type { Secret } from '../core/secret.ts';
import type { OutputChoice } from './choose.ts';
import { clean } from './clean.ts';
import { createRenderer } from './create-renderer.ts';
import { bugText, errorText } from './error-text.ts';
import { githubErrors, githubMasks } from './github.ts';
import { createJsonRenderer } from './json.ts';
import { askQuestion } from './prompt.ts';
import { Redactor } from './redact.ts';
import { loadTheme, type Theme } from './theme.ts';
import { wireError } from './wire.ts';

export interface OutputOptions {
  readonly choice: OutputChoice;
  readonly verbose: boolean;
  readonly version: string;
  readonly now: () => number;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly appendTo: (variable: 'GITHUB_STEP_SUMMARY' | 'GITHUB_OUTPUT', text: string) => void;
  /** `--log-file` */
  readonly appendLog: ((text: string) => void) | undefined;
}

interface Line {
  readonly prefix?: string;
  readonly text: string;
  readonly json: object;
}

interface Result {
  readonly command: string;
  readonly exitCode: number;
  readonly text?: string | ((theme: Theme) => string);
  readonly json?: object;
}

/** All that cu says, on stdout and stderr, secrets hidden. */
export interface Output {
  readonly emit: Emit;
  readonly line: (line: Line) => Promise<void>;
  readonly ask: (
    question: string,
    options: { readonly hidden: boolean; readonly signal: AbortSignal },
  ) => Promise<string>;
  readonly mask: (secrets: readonly Secret[]) => void;
  readonly result: (result: Result) => void;
  /** Prints what went wrong beside a result. */
  readonly report: (error: CuError) => void;
  /** Prints what ended the command and returns the exit code for it. */
  readonly error: (error: unknown, command: string | undefined) => number;
  readonly notice: (text: string) => void;
  readonly hasPlan: () => boolean;
  readonly hostsInHand: () => readonly string[];
  readonly close: () => void;
}

export async function openOutput(options: OutputOptions): Promise<Output> {
  const { choice, verbose, version, now, stdin, stdout, stderr, appendLog } = options;
  const [stdoutTheme, stderrTheme] = await Promise.all([loadTheme(choice.stdoutColor), loadTheme(choice.stderrColor)]);
  const redactor = new Redactor();
  const isJson = choice.renderer === 'json';
  const say = (text: string): boolean => stdout.write(redactor.clean(text));
  const tell = (text: string): void => void stderr.write(redactor.clean(text));
  const sayJson = (object: object): boolean => say(`${JSON.stringify(object)}\n`);
  const target = { write: tell, columns: () => stderr.columns ?? 80, rows: () => stderr.rows ?? 24 };
  const renderer = await createRenderer({
    choice,
    theme: stderrTheme,
    verbose,
    now,
    stdout: say,
    stderr: target,
    stderrStream: stderr,
    appendTo: options.appendTo,
  });
  const log = appendLog && createJsonRenderer({ write: (text) => appendLog(redactor.clean(text)), verbose: true, now });
  const report = (error: CuError): void => {
    tell(`${errorText(error, stderrTheme)}\n`);
    if (choice.isGithub) tell(githubErrors(error));
  };
  const inHand = new Map<string, string>();
  let hasPlan = false;

  return {
    emit(event) {
      trackHosts(inHand, event);
      hasPlan ||= event.type === 'plan-ready' || event.type === 'step-started';
      renderer.on(event);
      log?.on(event);
    },
    async line({ prefix, text, json }) {
      renderer.pause();
      const start = prefix === undefined ? '' : `${stdoutTheme.name(prefix)} | `;
      const isRoom = isJson ? sayJson({ v: 1, type: 'line', ...json }) : say(`${start}${clean(text)}\n`);
      renderer.resume();
      if (!isRoom && stdout.writable) await once(stdout, 'drain');
    },
    async ask(question, { hidden, signal }) {
      renderer.pause();
      try {
        return await askQuestion(`${clean(question)} `, { input: stdin, output: stderr, hidden, signal });
      } finally {
        renderer.resume();
      }
    },
    mask(secrets) {
      const fresh = redactor.add(secrets);
      // The one place where a secret is printed: GitHub hides it from then on, and this line too.
      if (choice.isGithub) stderr.write(githubMasks(fresh));
    },
    result({ command, exitCode, text, json }) {
      if (isJson) return void sayJson({ ...json, v: 1, type: 'result', command, exitCode });
      const shown = typeof text === 'function' ? text(stdoutTheme) : text;
      if (shown !== undefined && shown !== '') say(shown.endsWith('\n') ? shown : `${shown}\n`);
    },
    report,
    error(error, command) {
      const exitCode = exitCodeOf(error);
      const known =
        error instanceof CuError ? error : new CuError('BUG', error instanceof Error ? error.message : String(error));
      if (error instanceof CuError) report(error);
      else tell(`${bugText(error, version, stderrTheme)}\n`);
      if (isJson) sayJson({ v: 1, type: 'result', command, exitCode, error: wireError(known) });
      appendLog?.(
        redactor.clean(
          `${JSON.stringify({ v: 1, type: 'error', command, exitCode, error: wireError(known), time: new Date(now()).toISOString() })}\n`,
        ),
      );
      return exitCode;
    },
    notice(text) {
      renderer.pause();
      tell(`${stderrTheme.warn('cu:')} ${text}\n`);
      renderer.resume();
    },
    hasPlan: () => hasPlan,
    hostsInHand: () => [...new Set(inHand.values())],
    close: () => renderer.close(),
  };
}

function trackHosts(inHand: Map<string, string>, event: CuEvent): void {
  if (event.type === 'step-started') inHand.set(event.node.id, event.node.host);
  if (event.type === 'step-done' || event.type === 'step-failed') inHand.delete(event.node.id);
}
