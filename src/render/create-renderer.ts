import type { OutputChoice } from './choose.ts';
import { createPlainRenderer } from './plain.ts';
import type { Renderer, RenderTarget } from './renderer.ts';
import type { Theme } from './theme.ts';

export interface RendererOptions {
  readonly choice: OutputChoice;
  readonly theme: Theme;
  readonly verbose: boolean;
  readonly now: () => number;
  readonly stdout: (text: string) => void;
  readonly stderr: RenderTarget;
  readonly stderrStream: NodeJS.WritableStream;
  /** Adds text to the file that the environment variable names, if it is set. */
  readonly appendTo: (variable: 'GITHUB_STEP_SUMMARY' | 'GITHUB_OUTPUT', text: string) => void;
}

/** The chosen renderer, with what GitHub Actions adds; what is not chosen is not loaded. */
export async function createRenderer(options: RendererOptions): Promise<Renderer> {
  const renderer = await chosenRenderer(options);
  if (!options.choice.isGithub) return renderer;
  const { createGithubRenderer } = await import('./github.ts');
  return createGithubRenderer({
    inner: renderer,
    write: options.stderr.write,
    appendSummary: (text) => options.appendTo('GITHUB_STEP_SUMMARY', text),
    appendOutput: (text) => options.appendTo('GITHUB_OUTPUT', `${text}\n`),
  });
}

async function chosenRenderer({
  choice,
  theme,
  verbose,
  now,
  stdout,
  stderr,
  stderrStream,
}: RendererOptions): Promise<Renderer> {
  switch (choice.renderer) {
    case 'json': {
      const { createJsonRenderer } = await import('./json.ts');
      return createJsonRenderer({ write: stdout, verbose });
    }
    case 'quiet': {
      const { createQuietRenderer } = await import('./quiet.ts');
      return createQuietRenderer(stderr.write, theme);
    }
    case 'plain':
      return createPlainRenderer({ write: stderr.write, theme, verbose, now });
    case 'tty': {
      const [{ createTtyRenderer }, { createSpinner }] = await Promise.all([
        import('./tty.ts'),
        import('./spinner.ts'),
      ]);
      return createTtyRenderer({ target: stderr, theme, verbose, now, spin: createSpinner(stderrStream) });
    }
  }
}
