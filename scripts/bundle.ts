import { build, type BuildResult } from 'esbuild';

/** ESM with a chunk for each dynamic import; packages stay outside, since ssh2 and others need their own files. */
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
    packages: 'external',
    chunkNames: 'chunks/[name]-[hash]',
    metafile: true,
    legalComments: 'none',
    logLevel: 'warning',
    write: options.write,
  });
}
