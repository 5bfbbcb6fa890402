import type { ArgumentSpec } from './command.ts';

export const TARGETS: ArgumentSpec = {
  name: '[target...]',
  summary: 'HOST, SERVICE, HOST/SERVICE or HOST/SERVICE/INSTANCE, * allowed (default: all)',
};

export const TARGET: ArgumentSpec = { name: '<target>', summary: 'SERVICE, HOST/SERVICE or HOST/SERVICE/INSTANCE' };
