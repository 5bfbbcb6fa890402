import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { EXIT_CODES } from '../src/core/error.ts';
import { HINTS } from '../src/core/hints.ts';

const FILE = fileURLToPath(new URL('../docs/errors.md', import.meta.url));

const MEANINGS: Readonly<Record<number, string>> = {
  0: 'done',
  1: 'a bug in cu: it prints a stack trace; please report it',
  2: 'usage or config, or a host that does not fit it: no service was changed',
  3: 'a host cannot be reached, or its key is refused',
  4: 'a step failed',
  5: 'somebody else holds the lock',
  6: '`cu plan --check` found something to do',
  130: 'interrupted',
};

/** The text of `docs/errors.md`, from the codes and the hints. */
export function errorsPage(): string {
  const codes = Object.entries(EXIT_CODES);
  const exits = Object.entries(MEANINGS).map(([exit, meaning]) => {
    const names = codes.filter(([, code]) => code === Number(exit)).map(([name]) => `\`${name}\``);
    return `| ${exit} | ${meaning} | ${names.join(' ')} |`;
  });
  const hints = HINTS.map(
    ({ code, pattern, hint }) =>
      `| ${code === undefined ? 'any' : `\`${code}\``} | \`${pattern.source.replaceAll('|', '\\|')}\` | ${hint} |`,
  );
  return [
    '# Errors',
    '',
    'Written by `npm run gen` from `src/core/error.ts` and `src/core/hints.ts`: do not edit.',
    '',
    'An error says where it happened, what was done (`$ ...`), what the other side answered, and what to do next (`hint: ...`).',
    'With `--json` the last line is `{"v":1,"type":"result","exitCode":...,"error":{"code":...,"message":...,"hint":...}}`.',
    '',
    '## Exit codes',
    '',
    '| exit | means | codes |',
    '| --- | --- | --- |',
    ...exits,
    '',
    '## Hints',
    '',
    'Shown when the message or what the other side said matches; the first that fits, unless the error brings its own.',
    '',
    '| code | matches | hint |',
    '| --- | --- | --- |',
    ...hints,
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fresh = errorsPage();
  const present = await readFile(FILE, 'utf8').catch(() => '');
  if (fresh !== present) await writeFile(FILE, fresh);
}
