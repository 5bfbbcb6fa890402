import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Answers {
  readonly ask: (question: string) => Promise<string>;
  readonly confirm: (question: string) => Promise<boolean>;
}

/** Leaves the question in a file and waits for the answer on a pipe, so that no passphrase touches a disk. */
const SCRIPT = `#!/bin/sh
base=$(dirname "$0") || exit 1
mkfifo -m 600 "$base/answer.$$" || exit 1
printf '%s' "$1" >"$base/asking.$$"
mv "$base/asking.$$" "$base/question.$$"
cat "$base/answer.$$"
`;

/** ssh asks through cu, not on the terminal, where its prompt would garble what cu shows. */
export async function prepareAskpass(folder: string): Promise<Readonly<Record<string, string>>> {
  const path = join(folder, 'askpass');
  await writeFile(path, SCRIPT);
  await chmod(path, 0o700);
  return { SSH_ASKPASS: path, SSH_ASKPASS_REQUIRE: 'force' };
}

/** Answers what ssh has asked since the last look, one question after the other. */
export async function answerQuestions(folder: string, { ask, confirm }: Answers): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.startsWith('question.'));
  for (const name of names) {
    const question = await readFile(join(folder, name), 'utf8');
    await rm(join(folder, name));
    const isChoice = question.includes('(yes/no');
    const shown = question.replace(/\s*Are you sure you want to continue connecting.*$/s, ' Trust it?');
    const answer = isChoice ? ((await confirm(shown)) ? 'yes' : 'no') : await ask(question);
    await writeFile(join(folder, name.replace('question', 'answer')), `${answer}\n`);
  }
}
