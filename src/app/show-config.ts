import { stringify } from 'yaml';
import type { Context } from './context.ts';
import { openProject } from './project.ts';

/** What an environment comes to, defaults filled in and names looked up; secrets print as `[redacted]`. */
export async function showConfig(
  context: Context,
): Promise<{ readonly environment: string; readonly config: object; readonly text: string }> {
  const { desired } = await openProject(context);
  // Through JSON, where each Secret redacts itself.
  const config: object = JSON.parse(JSON.stringify(desired));
  return { environment: desired.environment, config, text: stringify(config).trimEnd() };
}
