import { mkdirSync, writeFileSync } from 'node:fs';
import { addresses, mirrorUrl } from './addresses.ts';
import { paths, type CachePaths } from './paths.ts';
import { findProcesses, readPid, spawnDaemon, stopProcess, waitFor } from './process.ts';

/** Serves the stand-ins for Docker Hub on the bridge; returns the registry's pid. */
export async function startRegistry(cache: CachePaths): Promise<number> {
  mkdirSync(cache.registryData, { recursive: true });
  writeFileSync(paths.registryConfig, config(cache));
  const pid = spawnDaemon(['docker-registry', 'serve', paths.registryConfig], paths.registryLog);
  writeFileSync(paths.registryPid, String(pid));
  await waitFor(`the registry at ${mirrorUrl()}`, () => answers(`${mirrorUrl()}/v2/`, 2_000), {
    timeoutMs: 20_000,
    log: paths.registryLog,
  });
  return pid;
}

export async function stopRegistry(): Promise<void> {
  const pid = readPid(paths.registryPid);
  if (pid !== undefined) await stopProcess(pid, paths.registryConfig, 5_000);
  for (const left of findProcesses('docker-registry', paths.registryConfig))
    await stopProcess(left, paths.registryConfig, 5_000);
}

/** Whether the real Docker Hub can be reached from here; its API answers 401 to strangers. */
export async function dockerHubAnswers(): Promise<boolean> {
  return (await answers('https://registry-1.docker.io/v2/', 3_000)) === true;
}

async function answers(url: string, timeoutMs: number): Promise<true | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
    return response.status === 200 || response.status === 401 ? true : undefined;
  } catch {
    return undefined;
  }
}

function config(cache: CachePaths): string {
  return `version: 0.1
log: { level: warn }
storage:
  filesystem: { rootdirectory: ${JSON.stringify(cache.registryData)} }
  delete: { enabled: true }
http:
  addr: ${addresses.engineAddress}:${addresses.registryPort}
`;
}
