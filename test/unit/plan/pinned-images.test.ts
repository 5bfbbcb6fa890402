import { describe, expect, test } from 'vitest';
import { LABELS } from '../../../src/core/state.ts';
import type { ObservedImage } from '../../../src/core/state.ts';
import { imageOnHost } from '../../../src/plan/images.ts';
import type { PlanInput, WantedImage } from '../../../src/plan/input.ts';
import { appImage, instance, observedHost } from './inputs.ts';
import { deployed, steps } from './steps.ts';

const FIRST = 'sha256:app-new';

/** A build of the same inputs as the first one; what is built later has taken its names. */
function image(id: string, createdAt: number, tags: readonly string[] = []): ObservedImage {
  const labels = { [LABELS.inputs]: 'inputs-1', [LABELS.version]: 'r1', [LABELS.project]: 'shop' };
  return { id, tags, digests: [], labels, sizeBytes: 1, createdAt };
}

function pinned(ids: Readonly<Record<string, string>>): WantedImage {
  return { ...appImage(), origin: undefined, ids };
}

/** Hosts on which the same inputs were built again since, and on which that runs. */
function rebuilt({ kept = ['a', 'b'] }: { readonly kept?: readonly string[] } = {}): PlanInput {
  const input = deployed({ instances: [instance({ host: 'a' }), instance({ host: 'b' })] });
  const hosts = input.hosts.map((host) => ({
    ...host,
    images: [
      image('sha256:again', 200, ['shop:r1', 'shop:dev']),
      ...(kept.includes(host.name) ? [image(FIRST, 100)] : []),
    ],
    containers: host.containers.map((each) => ({ ...each, imageId: 'sha256:again' })),
  }));
  return { ...input, hosts };
}

describe('going back to a release whose inputs were built again since', () => {
  test('brings its bytes back and gives them their names again', () => {
    const input = { ...rebuilt(), images: new Map([['app', pinned({ a: FIRST, b: FIRST })]]) };

    expect(steps(input)).toEqual([
      'a/shop-dev-web-1/replace: image changed',
      'b/shop-dev-web-1/replace: image changed',
      'a/app/tag: dev is r1',
      'b/app/tag: dev is r1',
    ]);
  });

  test('sends them to a host that no longer has them', () => {
    const origin = { host: 'a', isBuilt: true, imageId: FIRST } as const;
    const wanted: WantedImage = { ...appImage(), origin, ids: { a: FIRST, b: FIRST } };
    const input = { ...rebuilt({ kept: ['a'] }), images: new Map([['app', wanted]]) };

    expect(steps(input)).toEqual([
      'b/app/ship: not on the host',
      'a/shop-dev-web-1/replace: image changed',
      'b/shop-dev-web-1/replace: image changed',
      'a/app/tag: dev is r1',
      'b/app/tag: dev is r1',
    ]);
  });

  test('does nothing where they run already', () => {
    const input = deployed({ instances: [instance({ host: 'a' })] });

    expect(steps({ ...input, images: new Map([['app', pinned({ a: FIRST })]]) })).toEqual([]);
  });

  test('without their ids the newest of the same inputs has to do', () => {
    expect(steps({ ...rebuilt(), images: new Map([['app', appImage()]]) })).toEqual([]);
  });
});

describe('a pinned build on a host', () => {
  const images = [image('sha256:own', 1), image('sha256:others', 2), image('sha256:again', 3, ['shop:r1'])];
  const idOn = (name: string, ids: Readonly<Record<string, string>>): string | undefined =>
    imageOnHost(observedHost({ name, images }), pinned(ids))?.id;

  test('is what this host had, else what another one had', () => {
    expect(idOn('a', { b: 'sha256:others', a: 'sha256:own' })).toBe('sha256:own');
    expect(idOn('c', { a: 'sha256:own' })).toBe('sha256:own');
    expect(idOn('b', { a: 'sha256:own', b: 'sha256:purged' })).toBe('sha256:own');
  });

  test('is never another build of the same inputs', () => {
    expect(idOn('a', { a: 'sha256:purged' })).toBeUndefined();
  });
});
