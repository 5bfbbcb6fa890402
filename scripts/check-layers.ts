import { cruise } from 'dependency-cruiser';
import extractOptions from 'dependency-cruiser/config-utl/extract-depcruise-options';
import extractTsConfig from 'dependency-cruiser/config-utl/extract-ts-config';

/** A parser that understands nothing finds no violation either. */
const FEWEST_MODULES = 80;

const options = await extractOptions('./.dependency-cruiser.mjs');
const { output, exitCode } = await cruise(['src'], { ...options, outputType: 'err' }, undefined, {
  tsConfig: extractTsConfig('./tsconfig.json'),
});
const text = typeof output === 'string' ? output : '';
console.log(text.trim());
const modules = Number(/(\d+) modules/.exec(text)?.[1] ?? 0);
if (modules < FEWEST_MODULES) console.error(`only ${modules} modules were seen, of at least ${FEWEST_MODULES}`);
process.exitCode = exitCode !== 0 || modules < FEWEST_MODULES ? 1 : 0;
