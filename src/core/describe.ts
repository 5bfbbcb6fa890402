import type { Action, Plan, PlanNode } from './action.ts';
import { partName, PROXY_NAME } from './proxy.ts';
import type { ProxyPlace } from './proxy.ts';

/** A plan as plain lines, `host/name/verb  cause  after what`; what tests compare. */
export function describe(plan: Plan): string[] {
  const width = Math.max(0, ...plan.nodes.map((node) => node.id.length));
  return plan.nodes.map((node) => {
    const after = node.after.length === 0 ? '' : `  after ${node.after.map((id) => shorten(id, node.id)).join(', ')}`;
    return `${node.id.padEnd(width)}  ${node.cause}${after}`;
  });
}

export interface ActionWords {
  /** `+` makes a container, `~` changes one, `-` takes one away, `·` is anything else. */
  readonly symbol: '+' | '~' | '-' | '·';
  readonly verb: string;
  readonly done: string;
  /** What it acts on. */
  readonly object: string;
}

export function describeAction(action: Action): ActionWords {
  switch (action.type) {
    case 'build-image':
      return { symbol: '·', verb: 'build', done: 'built', object: `${action.image} ${action.version}` };
    case 'push-image':
      return { symbol: '·', verb: 'push', done: 'pushed', object: `${action.image} ${action.version}` };
    case 'ship-image':
      return { symbol: '·', verb: 'ship', done: 'shipped', object: `${action.image} ${action.version}` };
    case 'pull-image':
      return { symbol: '·', verb: 'pull', done: 'pulled', object: action.reference };
    case 'tag-image':
      return { symbol: '·', verb: 'tag', done: 'tagged', object: `${action.image} ${action.tags.join(' ')}` };
    case 'init-state':
      return { symbol: '·', verb: 'prepare', done: 'prepared', object: action.volume };
    case 'create-network':
      return { symbol: '·', verb: 'create network', done: 'created network', object: action.name };
    case 'create-volume':
      return { symbol: '·', verb: 'create volume', done: 'created volume', object: action.name };
    case 'run-task':
      return { symbol: '·', verb: 'run', done: 'ran', object: action.name };
    case 'check-broker':
      return { symbol: '·', verb: 'check', done: 'checked', object: 'broker and storage' };
    case 'ensure-proxy':
      return { symbol: '·', verb: 'prepare proxy', done: 'prepared proxy', object: PROXY_NAME };
    case 'apply-routes':
      return { symbol: '·', verb: 'route', done: 'routed', object: partName(action.part) };
    case 'switch-proxy':
      return { symbol: '~', verb: 'switch to', done: 'switched to', object: placeText(action.place) };
    case 'create-container':
      return { symbol: '+', verb: 'start', done: 'started', object: action.spec.name };
    case 'replace-container':
      return { symbol: '~', verb: 'replace', done: 'replaced', object: action.spec.name };
    case 'drain-container':
      return { symbol: '·', verb: 'drain', done: 'drained', object: action.name };
    case 'verify-container':
      return { symbol: '·', verb: 'watch', done: 'watched', object: action.spec.name };
    case 'restore-container':
      return { symbol: '~', verb: 'put back', done: 'put back', object: action.spec.name };
    case 'resume-container':
      return { symbol: '~', verb: 'start again', done: 'started again', object: action.name };
    case 'pause':
      return { symbol: '·', verb: 'pause before the next hosts of', done: 'paused before', object: action.service };
    case 'start-container':
      return { symbol: '~', verb: 'start', done: 'started', object: action.spec.name };
    case 'restart-container':
      return { symbol: '~', verb: 'restart', done: 'restarted', object: action.spec.name };
    case 'stop-container':
      return { symbol: '~', verb: 'stop', done: 'stopped', object: action.name };
    case 'update-container':
      return { symbol: '~', verb: 'update', done: 'updated', object: action.spec.name };
    case 'remove-container':
      return { symbol: '-', verb: 'remove', done: 'removed', object: action.name };
    case 'remove-image':
      return {
        symbol: '-',
        verb: 'remove image',
        done: 'removed image',
        object: action.tags.join(' ') || shortId(action.id),
      };
    case 'remove-network':
      return { symbol: '-', verb: 'remove network', done: 'removed network', object: action.name };
    case 'remove-volume':
      return { symbol: '-', verb: 'remove volume', done: 'removed volume', object: action.name };
  }
}

/** A step that every replacement brings with it: it makes a plan no clearer to read, so only JSON has it. */
export function isAftermath({ id, action }: PlanNode): boolean {
  return action.type === 'verify-container' || action.type === 'drain-container' || id.endsWith('/retire');
}

/** The service or image that a step is about, for the prefix of its lines. */
export function subjectOf(action: Action): string {
  switch (action.type) {
    case 'build-image':
    case 'push-image':
    case 'ship-image':
    case 'pull-image':
    case 'tag-image':
      return action.image;
    case 'run-task':
    case 'check-broker':
    case 'create-container':
    case 'replace-container':
    case 'start-container':
    case 'restart-container':
    case 'update-container':
    case 'verify-container':
    case 'restore-container':
      return action.spec.instance === action.spec.service
        ? action.spec.service
        : `${action.spec.service}/${action.spec.instance}`;
    case 'ensure-proxy':
      return PROXY_NAME;
    case 'apply-routes':
      return partName(action.part);
    case 'switch-proxy':
      return placeText(action.place);
    case 'drain-container':
      return action.instance === action.service ? action.service : `${action.service}/${action.instance}`;
    case 'pause':
      return action.service;
    case 'init-state':
      return action.volume;
    case 'resume-container':
    case 'create-network':
    case 'create-volume':
    case 'stop-container':
    case 'remove-container':
    case 'remove-network':
    case 'remove-volume':
      return action.name;
    case 'remove-image':
      return action.tags[0] ?? shortId(action.id);
  }
}

/** `3 to create, 1 to replace, 0 to remove across 3 hosts`. */
export function summarize(plan: Plan): string {
  if (plan.nodes.length === 0) return 'nothing to do';
  const count = (...types: readonly Action['type'][]): number =>
    plan.nodes.filter((node) => types.includes(node.action.type) && !isAftermath(node)).length;
  const always = [
    `${count('create-container')} to create`,
    `${count('replace-container')} to replace`,
    `${count('remove-container', 'remove-image', 'remove-network', 'remove-volume')} to remove`,
  ];
  const others: readonly (readonly [number, string])[] = [
    [count('run-task'), 'to run'],
    [count('start-container'), 'to start'],
    [count('restart-container'), 'to restart'],
    [count('stop-container'), 'to stop'],
    [count('update-container'), 'to update'],
    [count('build-image'), 'to build'],
    [count('push-image'), 'to push'],
    [count('ship-image'), 'to ship'],
    [count('pull-image'), 'to pull'],
  ];
  const parts = [...always, ...others.filter(([number]) => number > 0).map(([number, text]) => `${number} ${text}`)];
  // Where an image is built is no host of the rollout.
  const rolledOut = plan.nodes.filter(({ action }) => action.type !== 'build-image' && action.type !== 'push-image');
  const hosts = hostsOf(rolledOut.length === 0 ? plan.nodes : rolledOut).length;
  return `${parts.join(', ')} across ${hosts} ${hosts === 1 ? 'host' : 'hosts'}`;
}

export function hostsOf(nodes: readonly PlanNode[]): readonly string[] {
  return [...new Set(nodes.map((node) => node.host))];
}

function placeText({ service, instance }: ProxyPlace): string {
  return instance === service ? service : `${service}/${instance}`;
}

function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}

function shorten(id: string, of: string): string {
  const [host = '', name = ''] = of.split('/');
  if (id.startsWith(`${host}/${name}/`)) return id.slice(host.length + name.length + 2);
  return id.startsWith(`${host}/`) ? id.slice(host.length + 1) : id;
}
