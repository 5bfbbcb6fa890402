import { expect, test } from 'vitest';
import { followJob } from '../../../src/app/follow-job.ts';
import { jobError, parseJob } from '../../../src/app/web-job.ts';
import type { Job } from '../../../src/app/web-job.ts';
import { CuError } from '../../../src/core/error.ts';
import type { CuEvent } from '../../../src/core/event.ts';
import { answerOf, fakeContext, fakeWeb } from './call-parts.ts';

const QUEUED: Job = { id: 'j1', name: 'tiles', state: 'queued', progress: undefined, message: '', error: undefined };
const EVENTS = 'GET /v1/jobs/j1/events';
const STATE = 'GET /v1/jobs/j1';
const WAIT = 'GET /v1/jobs/j1?wait=20';
const { signal } = new AbortController();

function view(state: string, more: object = {}): string {
  return JSON.stringify({ id: 'j1', function: 'tiles', state, progress: null, message: '', error: null, ...more });
}

const job = (state: string) => answerOf(view(state));

function stream(...events: readonly (readonly [string, string])[]) {
  return answerOf(events.map(([event, data]) => `event: ${event}\ndata: ${data}\n\n`).join(''), {
    type: 'text/event-stream',
  });
}

function line(event: CuEvent): string {
  if (event.type === 'job-changed') return `${event.state} ${event.progress ?? '-'} ${event.message}`.trim();
  return event.type === 'job-log' ? `log ${event.text}` : event.type;
}

test('what the events say is told, and their last state is the end', async () => {
  const context = fakeContext({});
  const web = fakeWeb({
    [EVENTS]: [
      stream(
        ['state', view('running')],
        ['progress', '{"progress": 0.5, "message": "half"}'],
        ['log', '{"log": "a word"}'],
        ['later', '{"what": "a newer cu may say more"}'],
        ['progress', '{"progress": null, "message": "more"}'],
        ['state', view('done', { progress: 1 })],
      ),
    ],
  });

  const ended = await followJob(context, web, QUEUED, signal);

  expect(ended).toMatchObject({ state: 'done', progress: 1 });
  expect(context.events.map(line)).toEqual([
    'running -',
    'running 0.5 half',
    'log a word',
    'running 0.5 more',
    'done 1',
  ]);
});

test('events that break off are asked for again', async () => {
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from(`event: state\ndata: ${view('running')}\n\n`);
    throw new CuError('CONNECTION_LOST', 'cut');
  };
  const web = fakeWeb({
    [EVENTS]: [answerOf(broken(), { type: 'text/event-stream' }), stream(['state', view('done')])],
  });

  const ended = await followJob(fakeContext({}), web, QUEUED, signal);

  expect(ended.state).toBe('done');
  expect(web.asked).toEqual([EVENTS, 'reset', EVENTS]);
});

test('events that end without an end are made up for by asking', async () => {
  const web = fakeWeb({ [EVENTS]: [stream(['state', view('running')])], [STATE]: [job('done')] });

  const ended = await followJob(fakeContext({}), web, QUEUED, signal);

  expect(ended.state).toBe('done');
  expect(web.asked).toEqual([EVENTS, STATE]);
});

test.each([
  answerOf('{}', { statusCode: 404, type: 'application/problem+json' }),
  answerOf('<html>', { type: 'text/html' }),
])('where there are no events it is asked in long waits', async (answer) => {
  const web = fakeWeb({ [EVENTS]: [answer], [WAIT]: [job('running'), job('running'), job('done')] });

  const ended = await followJob(fakeContext({}), web, QUEUED, signal);

  expect(ended.state).toBe('done');
  expect(web.asked).toEqual([EVENTS, WAIT, WAIT, WAIT]);
});

test('a webserver that stays away is given up after two minutes', async () => {
  let clock = 0;
  const web = fakeWeb({ [EVENTS]: [new CuError('HOST_UNREACHABLE', 'no route')] });
  const now = (): number => (clock += 70_000);

  await expect(followJob(fakeContext({ now }), web, QUEUED, signal)).rejects.toMatchObject({
    code: 'HOST_UNREACHABLE',
  });
  expect(web.asked.length).toBeGreaterThan(1);
});

test.each([
  new CuError('STEP_FAILED', 'there is no such job', { statusCode: 404 }),
  new CuError('SECRET_MISSING', 'a token is wanted'),
  new CuError('HOST_KEY_CHANGED', 'somebody else'),
])('what another try cannot mend is not tried again: %s', async (error) => {
  const web = fakeWeb({ [EVENTS]: [error] });

  await expect(followJob(fakeContext({}), web, QUEUED, signal)).rejects.toBe(error);
  expect(web.asked).toEqual([EVENTS]);
});

test('an interrupted wait ends at once', async () => {
  const controller = new AbortController();
  const web = fakeWeb({ [EVENTS]: [stream(['state', view('running')])], [STATE]: [job('running')] });

  const following = followJob(fakeContext({ signal: controller.signal }), web, QUEUED, controller.signal);
  setTimeout(() => controller.abort(new Error('Ctrl-C')), 20);

  await expect(following).rejects.toThrow(/Ctrl-C|aborted/);
});

test.each([
  ['failed', 'tiles failed: ValueError: no such tile', 'cu logs --grep j1'],
  ['dead', 'tiles was given up: ValueError: no such tile', 'cu logs --grep j1'],
  ['cancelled', 'tiles was cancelled: ValueError: no such tile', 'call it again'],
])('a job that ends as %s says so', (state, message, hint) => {
  const ended = parseJob(view(state, { error: { type: 'ValueError', message: 'no such tile' } }));

  expect(ended && jobError(ended)).toMatchObject({ exitCode: 4, message, hint: expect.stringContaining(hint) });
});

test.each(['', '<html>', '{"id": "j1"}', '{"id": "j1", "state": "lost"}'])('%j is no job', (text) => {
  expect(parseJob(text)).toBeUndefined();
});
