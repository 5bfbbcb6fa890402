import { build, type BuildResult } from 'esbuild';

/**
 * Packages that stay outside: those that read files of their own or are native at heart (ssh2, docker-modem), and
 * those that many commands do without. The rest is bundled, because zod alone is some sixty files to open and parse.
 */
const EXTERNAL = ['commander', 'docker-modem', 'execa', 'ora', 'ssh-config', 'ssh2', 'tar-stream'];

/** ESM with a chunk for each dynamic import. */
export async function bundle(options: {
  readonly root: string;
  readonly write: boolean;
}): Promise<BuildResult<{ metafile: true }>> {
  return build({
    absWorkingDir: options.root,
    entryPoints: ['src/main.ts'],
    outdir: 'dist',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: EXTERNAL,
    minifySyntax: true,
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
    chunkNames: 'chunks/[name]-[hash]',
    metafile: true,
    legalComments: 'none',
    logLevel: 'warning',
    write: options.write,
  });
}
