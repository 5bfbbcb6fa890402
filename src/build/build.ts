import { CuError } from '../core/error.ts';
import { LABELS, type BuildSource } from '../core/state.ts';
import { asObject, asText } from '../ship/engine-stream.ts';
import { buildWithBuildKit, findBuildKit } from './buildkit.ts';
import { buildClassic } from './classic.ts';
import { inputDigest } from './inputs.ts';
import type { BuildJob, BuildOptions } from './job.ts';

/** Builds `repository:version` and returns its id on that engine. */
export async function buildImage(
  options: BuildOptions,
): Promise<{ readonly imageId: string; readonly builder: string }> {
  const { source, inputs, version } = options;
  const reference = `${source.repository}:${version}`;
  const labels = {
    'org.opencontainers.image.version': version,
    [LABELS.project]: options.project,
    [LABELS.version]: version,
    [LABELS.inputs]: inputs.digest,
  };
  const job: BuildJob = { ...options, context: inputs.context, reference, labels };
  const builder = await run(job);
  const image = asObject(
    await options.host.docker().json({ method: 'GET', path: `/images/${reference}/json`, allow: [404] }),
  );
  const imageId = asText(image?.['Id']);
  if (imageId === undefined) {
    throw new CuError(
      'BUILD_FAILED',
      `${options.host.name}: the build of ${reference} ended well, but the engine has no such image`,
      { host: options.host.name },
    );
  }
  await refuseChanged(job);
  return { imageId, builder };
}

async function run(job: BuildJob): Promise<string> {
  const why = needsBuildKit(job.source, job.context.dockerfileText);
  const client = await findBuildKit(job.env, job.signal);
  if (client !== undefined && (why !== undefined || client.type === 'buildx')) {
    await buildWithBuildKit(job, client);
    return client.type;
  }
  if (why === undefined) {
    await buildClassic(job);
    return 'classic';
  }
  throw new CuError(
    'BUILDKIT_NEEDED',
    `image ${job.source.name} needs BuildKit (${why}), and this machine has no docker client that speaks it`,
    {
      hint: 'install the docker CLI with its buildx plugin (docker-buildx-plugin) on the machine that runs cu, or do without',
    },
  );
}

/** Why the classic builder would not do, in words for the user. */
export function needsBuildKit(source: BuildSource, dockerfile: string): string | undefined {
  if (source.secrets.length > 0) return 'build secrets';
  if (hasSyntaxLine(dockerfile)) return 'a # syntax= line';
  // Continued lines are one instruction.
  const instructions = dockerfile.replaceAll(/[\\`]\r?\n/g, ' ').split('\n');
  for (const instruction of instructions) {
    if (/^\s*RUN\s+(--\w\S*\s+)*--(mount|network|security)=/i.test(instruction)) return 'RUN --mount';
    if (/^\s*(RUN|COPY|ADD)\s+(.*\s)?<<-?\s*["']?\w/i.test(instruction) && isHereDocument(instruction, instructions))
      return 'a here-document';
    if (/^\s*(COPY|ADD)\s+(--\S+\s+)*--(link|chmod|parents|exclude|checksum)\b/i.test(instruction))
      return 'flags of COPY or ADD';
  }
  return undefined;
}

/** Directives stand before everything but other comments. */
function hasSyntaxLine(dockerfile: string): boolean {
  for (const line of dockerfile.split('\n')) {
    if (/^\s*#\s*syntax\s*=/i.test(line)) return true;
    if (!/^\s*#/.test(line)) return false;
  }
  return false;
}

/** `RUN cat <<EOF` in the classic builder is a shell's business; it can only be meant for BuildKit when its end stands on a line of its own. */
function isHereDocument(instruction: string, lines: readonly string[]): boolean {
  const word = /<<-?\s*["']?(\w+)/.exec(instruction)?.[1];
  return word !== undefined && lines.some((line) => line.trim() === word);
}

/** The label must tell the truth: what was built is what was digested. */
async function refuseChanged(job: BuildJob): Promise<void> {
  const { source, inputs, cacheDir, now, signal, host, reference } = job;
  const { runtime } = inputs.context;
  // The runtime went in as it was read: it may be another one by now.
  const readRuntime = (): Promise<typeof runtime> => Promise.resolve(runtime);
  const after = await inputDigest(source, { cacheDir, readRuntime, now, signal });
  if (after.digest === inputs.digest) return;
  await host
    .docker()
    .json({ method: 'DELETE', path: `/images/${reference}`, query: { noprune: true }, allow: [404, 409] });
  throw new CuError('BUILD_FAILED', `files in ${source.context} changed while image ${source.name} was built`, {
    hint: 'run the same command again; leave out with .dockerignore what changes all the time',
  });
}
