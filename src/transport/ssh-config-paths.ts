export interface PathValues {
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly hostname: string;
  readonly port: number;
  readonly user: string;
  /** The host as it was named. */
  readonly original: string;
  readonly username: string;
}

/** A path of ssh_config(5) with its `~`, `${NAME}` and the tokens that paths take. */
export function expandPath(path: string, at: PathValues): string {
  const tokens: Readonly<Record<string, string>> = {
    '%': '%',
    d: at.home,
    h: at.hostname,
    n: at.original,
    p: `${at.port}`,
    r: at.user,
    u: at.username,
  };
  return expandVariables(unquote(path), at.env)
    .replace(/^~(?=\/|$)/, at.home)
    .replace(/%([%dhnpru])/g, (_, token: string) => tokens[token] ?? '');
}

/** `$NAME` as a whole, which IdentityAgent takes, and `${NAME}` anywhere. */
export function expandVariables(text: string, env: Readonly<Record<string, string | undefined>>): string {
  const whole = /^\$(\w+)$/.exec(text);
  if (whole?.[1] !== undefined) return env[whole[1]] ?? '';
  return text.replace(/\$\{(\w+)\}/g, (_, name: string) => env[name] ?? '');
}

function unquote(path: string): string {
  return path.replace(/^"(.*)"$/, '$1');
}
