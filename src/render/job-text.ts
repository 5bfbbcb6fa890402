import type { CuEvent } from '../core/event.ts';
import { formatBytes } from '../core/format.ts';
import { cleanLine } from './clean.ts';
import { duration } from './duration.ts';
import { truncate, width } from './table.ts';
import type { Theme } from './theme.ts';

type JobChanged = Extract<CuEvent, { type: 'job-changed' }>;
type Transfer = Extract<CuEvent, { type: 'transfer' }>;

const BAR_CELLS = 20;

/** Said once, so that a job is found again whatever becomes of the wait for it. */
export function jobAccepted({ job, name, state }: JobChanged, theme: Theme): string {
  return `${theme.name(name)} | ${state} as job ${job}, which goes on by itself: \`cu call --job ${job} --wait\` gets its result`;
}

export function jobChanged(event: JobChanged, theme: Theme): string {
  return `${theme.name(event.name)} | ${[event.state, ...jobWords(event)].filter((part) => part !== '').join(' ')}`;
}

export function jobLog({ name }: { readonly name: string }, line: string, theme: Theme): string {
  return `${theme.name(name)} | ${line}`;
}

export function sentText({ name, bytes }: Transfer, theme: Theme): string {
  return `${theme.good('sent')} ${cleanLine(name)} ${theme.dim(`(${formatBytes(bytes)})`)}`;
}

export interface LiveOptions {
  readonly columns: number;
  readonly ms: number;
  readonly theme: Theme;
}

/** The line that is drawn over and over while something of a call goes on; never wider than the terminal. */
export function liveCall(event: JobChanged | Transfer, { columns, ms, theme }: LiveOptions): string {
  const name = cleanLine(event.name);
  const time = duration(ms);
  // One column stays free: a full line makes some terminals wrap.
  const room = Math.max(1, columns - 1 - width(`  ${name}  `) - width(time) - 2);
  const parts = event.type === 'job-changed' ? jobParts(event) : transferParts(event);
  return `  ${theme.name(name)}  ${truncate(parts.filter((part) => part !== '').join('  '), room)}  ${theme.dim(time)}`;
}

/** The same in words, for a log that nobody redraws. */
export function callText(event: JobChanged | Transfer): string {
  const parts = event.type === 'job-changed' ? [event.state, ...jobWords(event)] : transferWords(event);
  return `${cleanLine(event.name)} ${parts.filter((part) => part !== '').join(' ')}`;
}

function jobParts(event: JobChanged): readonly string[] {
  const { progress, state } = event;
  return [progress === undefined ? state : bar(progress), ...jobWords(event)];
}

function jobWords({ progress, message }: JobChanged): readonly string[] {
  return [progress === undefined ? '' : percent(progress), cleanLine(message)];
}

function transferParts(event: Transfer): readonly string[] {
  const { bytes, totalBytes } = event;
  return totalBytes === undefined || totalBytes === 0
    ? transferWords(event)
    : [bar(bytes / totalBytes), ...transferWords(event)];
}

function transferWords({ bytes, totalBytes, direction }: Transfer): readonly string[] {
  const done = direction === 'up' ? 'sent' : 'received';
  if (totalBytes === undefined) return [`${formatBytes(bytes)} ${done}`];
  const share = totalBytes === 0 ? 1 : bytes / totalBytes;
  return [percent(share), `${formatBytes(bytes)} of ${formatBytes(totalBytes)} ${done}`];
}

export function bar(share: number): string {
  const full = Math.floor(between(share) * BAR_CELLS);
  return `[${'#'.repeat(full)}${'-'.repeat(BAR_CELLS - full)}]`;
}

/** 100 only when all of it is done. */
function percent(share: number): string {
  return `${Math.floor(between(share) * 100)}%`;
}

/** Where a function reports nonsense, the bar stays one. */
function between(share: number): number {
  return Number.isNaN(share) ? 0 : Math.min(1, Math.max(0, share));
}
