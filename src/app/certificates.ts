import { readFile } from 'node:fs/promises';
import { sha256 } from '../config/hash.ts';
import { CuError, CuErrors } from '../core/error.ts';
import { Secret } from '../core/secret.ts';
import type { InstanceSpec } from '../core/state.ts';
import type { Certificates } from '../core/proxy.ts';

/** The PEM files that routes name, all that is wrong with them at once. */
export async function readCertificates(instances: readonly InstanceSpec[]): Promise<Certificates> {
  const paths = [...new Set(instances.flatMap(({ route }) => route?.certificate ?? []))];
  const problems: CuError[] = [];
  const found = new Map<string, { readonly sha256: string; readonly pem: Secret }>();
  for (const path of paths) {
    const text = await readFile(path, 'utf8').catch(() => undefined);
    const problem = problemOf(text);
    if (text === undefined || problem !== undefined) {
      const hint = '`route.certificate` names a PEM file with the certificate, its chain and the private key';
      problems.push(new CuError('CONFIG_INVALID', `the certificate ${path} ${problem ?? 'cannot be read'}`, { hint }));
      continue;
    }
    found.set(path, { sha256: sha256(text), pem: new Secret('certificate', text) });
  }
  if (problems.length > 0) throw new CuErrors(problems);
  return found;
}

function problemOf(text: string | undefined): string | undefined {
  if (text === undefined) return 'cannot be read';
  if (!text.includes('BEGIN CERTIFICATE')) return 'holds no certificate';
  return /BEGIN ([A-Z]+ )?PRIVATE KEY/.test(text) ? undefined : 'holds no private key';
}
