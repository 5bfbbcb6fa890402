import { CuError } from '../core/error.ts';
export async function openOpenssh(): Promise<never> {
  throw new CuError('BUG', 'placeholder until the openssh helper writes this file');
}
