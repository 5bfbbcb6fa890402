import { z } from 'zod';
import { filePath, reading, strict } from './fields.ts';

const LABEL = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?';
const NAME_PATTERN = String.raw`^(\*\.)?${LABEL}(\.${LABEL})*$`;
const PATH_PATTERN = String.raw`^(/[A-Za-z0-9._~-]+)+/?$|^/$`;

/** These texts go into the config of a proxy: nothing that could mean more than itself gets through. */
const domain = reading({
  what: 'a name such as www.example.org or *.example.org',
  pattern: NAME_PATTERN,
  read: (text) => (text.length <= 253 && new RegExp(NAME_PATTERN).test(text) ? text : undefined),
  hint: domainHint,
});

const path = reading({
  what: 'the beginning of a path, such as /api',
  pattern: PATH_PATTERN,
  read: (text) =>
    text.length <= 1024 && new RegExp(PATH_PATTERN).test(text) && !/\/\.{1,2}(\/|$)/.test(text) ? text : undefined,
  hint: (text) => (/^[A-Za-z0-9_~-][A-Za-z0-9._~/-]*$/.test(text) ? `did you mean /${text}?` : undefined),
});

/** What a proxy in front of a webserver sends to it. */
export const route = strict({
  hosts: z.array(domain).default([]),
  paths: z.array(path).default([]),
  certificate: filePath.optional(),
}).superRefine((value, context) => {
  for (const key of ['hosts', 'paths'] as const) {
    const twice = value[key].findIndex((each, index) => value[key].indexOf(each) !== index);
    if (twice >= 0) context.addIssue({ code: 'custom', path: [key, twice], message: 'is given twice' });
  }
});

function domainHint(text: string): string | undefined {
  const bare = text
    .toLowerCase()
    .replace(/^[a-z]+:\/\//, '')
    .replace(/[:/].*$/, '');
  return bare !== text && new RegExp(NAME_PATTERN).test(bare) ? `did you mean ${bare}?` : undefined;
}
