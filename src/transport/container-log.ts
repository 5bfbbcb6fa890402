import { demultiplex } from './demultiplex.ts';
import type { Host } from './host.ts';

const TAIL_TIMEOUT_MS = 5000;

/** The last lines of a container's log, stdout and stderr as they came; empty where it cannot be read. */
export async function containerTail(host: Host, id: string, lines: number): Promise<string> {
  try {
    const answer = await host.docker().stream({
      method: 'GET',
      path: `/containers/${id}/logs`,
      query: { stdout: true, stderr: true, tail: lines },
      signal: AbortSignal.timeout(TAIL_TIMEOUT_MS),
    });
    const chunks: Buffer[] = [];
    for await (const { data } of demultiplex(answer.body)) chunks.push(data);
    return Buffer.concat(chunks).toString('utf8').trimEnd();
  } catch {
    // The log only illustrates another error, which must not be lost for it.
    return '';
  }
}
