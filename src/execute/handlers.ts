import { setTimeout as sleep } from 'node:timers/promises';
import type { PlanNode } from '../core/action.ts';
import type { ContainerSpec } from '../core/container.ts';
import { inspectContainer } from '../observe/observe.ts';
import {
  createAndProve,
  isWatchedFirst,
  replaceContainer,
  restartAndProve,
  startAndProve,
  updateContainer,
} from './containers.ts';
import type { ContainerStep } from './containers.ts';
import { removeContainer } from './engine.ts';
import type { RunStep } from './execute.ts';
import { finishWork } from './finish-work.ts';
import type { ProxyPlace } from '../core/proxy.ts';
import { waitStable } from './gate.ts';
import type { Passed } from './gate.ts';
import { createImageSteps, hostOf } from './images.ts';
import type { ImageSteps, StepOutput } from './images.ts';
import { createNetwork, createVolume, initState, removeImage, removeNetwork, removeVolume } from './resources.ts';
import { drainContainer, restoreContainer, resumeContainer } from './old-container.ts';
import { bindingsOf } from '../plan/body.ts';
import { PROXY_IMAGE } from '../plan/proxy/nodes.ts';
import { ensureProxy } from './proxy/container.ts';
import type { MovedPorts } from './proxy/moved-ports.ts';
import { applyPart } from './proxy/routes.ts';
import { drainOut, switchTo, withoutRequests } from './proxy/switch.ts';
import type { Switching } from './proxy/switch.ts';
import type { RunScope } from './scope.ts';
import { checkBroker, runTask } from './task.ts';

/** For how long an instance was away because its old container had to go first. */
export interface Gap {
  readonly host: string;
  /** `service/instance`. */
  readonly instance: string;
  readonly ms: number;
}

/** Runs steps of every type; dispose of it to close what the image steps opened. */
export interface Runner extends AsyncDisposable {
  readonly run: RunStep;
  readonly gaps: readonly Gap[];
  /** What each image is called on each host by now. */
  imageIds(): ReturnType<ImageSteps['ids']>;
}

export function createRunner(scope: RunScope): Runner {
  const images = createImageSteps(scope);
  const passed = new Map<string, Passed>();
  const gaps: Gap[] = [];
  const moved = new Map<string, MovedPorts>();
  return {
    run: (node, signal) => runStep(node, signal, { scope, images, passed, gaps, moved }),
    gaps,
    imageIds: () => images.ids(),
    [Symbol.asyncDispose]: () => images[Symbol.asyncDispose](),
  };
}

interface Shared {
  readonly scope: RunScope;
  readonly images: ImageSteps;
  /** What the containers made in this run were when their gate let them pass, by `host/name`. */
  readonly passed: Map<string, Passed>;
  readonly gaps: Gap[];
  /** By host. */
  readonly moved: Map<string, MovedPorts>;
}

function portsOf({ body }: ContainerSpec): readonly number[] {
  return Object.keys(bindingsOf(body)).map((key) => Number.parseInt(key));
}

function movedOn(moved: Map<string, MovedPorts>, host: string): MovedPorts {
  const known = moved.get(host) ?? new Map<string, number>();
  moved.set(host, known);
  return known;
}

const NOT_SEEN: Passed = { at: 0, restarts: 0 };

async function runStep(
  node: PlanNode,
  signal: AbortSignal,
  { scope, images, passed, gaps, moved }: Shared,
): Promise<string | undefined> {
  const { action } = node;
  const { desired } = scope;
  const output: StepOutput = {
    signal,
    onOutput: (text) => scope.emit({ type: 'step-output', node, text }),
    onProgress: (text, left) => scope.emit({ type: 'step-progress', node, text, left }),
  };
  const host = hostOf(scope, node.host);
  // A builder that is no host of the plan was not observed, and has no proxy.
  const socketGid = scope.observed.get(node.host)?.facts.dockerGid ?? 0;
  const switching = ({ service, instance, slot }: ProxyPlace): Switching => ({
    ...output,
    host,
    socketGid,
    locker: scope.locker,
    owner: desired,
    moved: movedOn(moved, node.host),
    place: { service, instance, slot },
  });
  const container = (spec: ContainerSpec, imageId: string): ContainerStep => ({
    ...output,
    host,
    spec,
    imageId,
    now: scope.now,
    grace: scope.grace,
    proxy:
      spec.slot === undefined
        ? undefined
        : { ...switching({ ...spec, slot: spec.slot }), containerPorts: portsOf(spec) },
  });
  const notePassed = async (name: string, watchedMs = 0): Promise<void> => {
    const found = await inspectContainer(host, name, signal);
    passed.set(`${node.host}/${name}`, { at: scope.now() - watchedMs, restarts: found?.observed.restartCount ?? 0 });
  };
  switch (action.type) {
    case 'build-image':
      return images.build(node, action.image, action.version, output);
    case 'push-image':
      return images.push(node, action.image, action.version, output);
    case 'ship-image':
      return images.ship(node, action.image, action.from, output);
    case 'pull-image':
      return images.pull(node, action.image, action.reference, output);
    case 'tag-image':
      await images.tag(node, action.image, action.tags, signal);
      return undefined;
    case 'init-state':
      await initState(host, action, desired, signal);
      return undefined;
    case 'create-network':
      await createNetwork(host, action.name, desired, signal);
      return undefined;
    case 'create-volume':
      await createVolume(host, action.name, desired, signal);
      return undefined;
    case 'run-task':
      await runTask({ ...output, ...action, host, imageId: images.idOn(node.host, action.spec.image) });
      return undefined;
    case 'check-broker':
      await checkBroker({ ...output, host, spec: action.spec, imageId: images.idOn(node.host, action.spec.image) });
      return undefined;
    case 'create-container':
      await createAndProve(container(action.spec, images.idOn(node.host, action.spec.image)));
      await notePassed(action.spec.name);
      return undefined;
    case 'replace-container': {
      const imageId = action.imageId ?? images.idOn(node.host, action.spec.image);
      const gapMs = await replaceContainer(container(action.spec, imageId), action);
      // The first one is watched on with requests, while the others are replaced.
      await notePassed(
        action.spec.name,
        !action.isCanary && isWatchedFirst(action) ? action.spec.health.stableMs : undefined,
      );
      if (gapMs === undefined) return undefined;
      gaps.push({ host: node.host, instance: `${action.spec.service}/${action.spec.instance}`, ms: gapMs });
      return `${(gapMs / 1000).toFixed(1)} s without it`;
    }
    case 'drain-container':
      await drainContainer(
        {
          ...output,
          host,
          grace: scope.grace,
          proxy: action.place === undefined ? undefined : switching(action.place),
        },
        action,
      );
      return action.isDetached ? 'finishes its work by itself' : undefined;
    case 'verify-container':
      await waitStable(host, action.spec, passed.get(`${node.host}/${action.spec.name}`) ?? NOT_SEEN, {
        signal,
        now: scope.now,
      });
      return undefined;
    case 'restore-container':
      await restoreContainer(container(action.spec, ''), action);
      return undefined;
    case 'resume-container':
      await resumeContainer(host, action.id, signal);
      return undefined;
    case 'pause':
      await sleep(action.ms, undefined, { signal });
      return undefined;
    case 'start-container':
      await startAndProve(container(action.spec, ''), action.id);
      return undefined;
    case 'restart-container':
      await restartAndProve(container(action.spec, ''), action.id);
      return undefined;
    case 'update-container':
      await updateContainer(container(action.spec, ''), action.id);
      return undefined;
    case 'stop-container': {
      const place = action.place === undefined ? undefined : switching(action.place);
      const isForGood = action.isLeftover === true;
      if (isForGood && place !== undefined) await drainOut(place, action.drainMs);
      await withoutRequests(isForGood ? undefined : place, action.drainMs, () =>
        finishWork({ ...output, host }, action.id, action.drainMs),
      );
      return undefined;
    }
    case 'ensure-proxy':
      await ensureProxy(host, {
        ...action,
        signal,
        locker: scope.locker,
        imageId: images.idOn(node.host, action.image),
      });
      return undefined;
    case 'apply-routes':
      await applyPart(
        {
          ...action,
          host,
          signal,
          locker: scope.locker,
          imageId: images.knownIdOn(node.host, PROXY_IMAGE),
          moved: movedOn(moved, node.host),
        },
        action.part,
      );
      return undefined;
    case 'switch-proxy':
      await switchTo(switching(action.place), action.drainMs);
      return undefined;
    case 'remove-container':
      if (action.place !== undefined) await drainOut(switching(action.place), action.drainMs);
      await finishWork({ ...output, host }, action.id, action.drainMs);
      await removeContainer(host, action.id, signal);
      return undefined;
    case 'remove-image':
      return removeImage(host, action, signal);
    case 'remove-network':
      return removeNetwork(host, action.name, signal);
    case 'remove-volume':
      await removeVolume(host, action.name, signal);
      return undefined;
  }
}
