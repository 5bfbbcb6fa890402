import { chooseEnvironment } from '../../../src/config/load.ts';
import { parseConfig, type ParsedConfig } from '../../../src/config/parse.ts';
import { formatProblem } from '../../../src/config/problem.ts';
import { resolveConfig } from '../../../src/config/resolve.ts';
import { createSecretStore } from '../../../src/config/secrets.ts';
import type { Desired, InstanceSpec } from '../../../src/core/state.ts';

/** What is wrong, as it is printed; nothing when the config is valid. */
export function problemsOf(text: string): readonly string[] {
  const result = parseConfig(text, 'cu.config.yaml');
  return result.type === 'valid' ? [] : result.problems.map(formatProblem);
}

/** `LINE:COLUMN path: message` of each problem, without the source line and the hint. */
export function briefly(text: string): readonly string[] {
  const result = parseConfig(text, 'cu.config.yaml');
  return result.type === 'valid'
    ? []
    : result.problems.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`);
}

export function parsed(text: string): ParsedConfig {
  const result = parseConfig(text, 'cu.config.yaml');
  if (result.type === 'invalid') throw new Error(result.problems.map(formatProblem).join('\n'));
  return result.parsed;
}

export interface Resolving {
  readonly environment?: string;
  readonly secrets?: Readonly<Record<string, string>>;
}

export function resolved(text: string, { environment, secrets = {} }: Resolving = {}): Desired {
  const chosen = chooseEnvironment(parsed(text), environment);
  return resolveConfig(chosen, { directory: '/project', home: '/home/me', store: createSecretStore([], secrets, []) });
}

export function instance(text: string, name: string, options: Resolving = {}): InstanceSpec {
  const found = resolved(text, options).instances.find(
    (each) => `${each.host}/${each.service}/${each.instance}` === name,
  );
  if (found === undefined) throw new Error(`no instance ${name}`);
  return found;
}

/** A small valid config; the services are given, indented by nothing. */
export function withServices(services: string, rest = ''): string {
  const indented = services
    .trim()
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
  return `project: shop
hosts: { host1: { address: 192.0.2.11 }, host2: { address: 192.0.2.12 } }
images: { app: { build: {} } }
users: { app: { uid: 1000 } }
${rest === '' ? '# nothing else' : rest}
services:
${indented}
`;
}

export const BROKER = 'broker: { kind: redis, on: [host1], ports: ["eth1:6379"] }';
