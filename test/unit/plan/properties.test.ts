import { array, assert, boolean, constantFrom, property, record, uniqueArray } from 'fast-check';
import { expect, test } from 'vitest';
import { LABELS } from '../../../src/core/state.ts';
import type { InstanceSpec, ObservedHost } from '../../../src/core/state.ts';
import { plan } from '../../../src/plan/plan.ts';
import { applyPlan } from './apply.ts';
import { container, instance, observedHost, planInput } from './inputs.ts';

const HOSTS = ['a', 'b', 'c'] as const;

const instances = uniqueArray(
  record({
    host: constantFrom(...HOSTS),
    service: constantFrom('broker', 'worker', 'site'),
    name: constantFrom('1', '2', 'big'),
    mode: constantFrom('x', 'y'),
    hasVolume: boolean(),
  }),
  { selector: ({ host, service, name }) => `${host}/${service}/${name}`, minLength: 1, maxLength: 8 },
).map((all): readonly InstanceSpec[] =>
  all.map(({ host, service, name, mode, hasVolume }) =>
    instance({
      host,
      service,
      instance: name,
      env: { MODE: mode },
      phase: { broker: 0, worker: 10, site: 20 }[service] ?? 10,
      mounts: hasVolume ? [{ type: 'volume', name: `shop-dev-${service}`, target: '/data', readOnly: false }] : [],
    }),
  ),
);

/** Containers as any past may have left them: ours, half ours, and foreign ones. */
const leftovers = array(
  record({
    host: constantFrom(...HOSTS),
    service: constantFrom('broker', 'worker', 'site', 'gone'),
    name: constantFrom('1', '2', 'big'),
    suffix: constantFrom('', '-new', '-old'),
    state: constantFrom('running', 'exited', 'created', 'paused', 'restarting'),
    isForeign: boolean(),
  }),
  { maxLength: 8 },
);

const worlds = record({ instances, leftovers }).map((world) => {
  const hosts = HOSTS.map((name): ObservedHost => {
    const here = world.leftovers.filter((each) => each.host === name);
    const unique = [...new Map(here.map((each) => [`${each.service}-${each.name}${each.suffix}`, each])).values()];
    return observedHost({
      name,
      containers: unique.map((each, index) =>
        container({
          id: `${name}-${index}`,
          name: each.isForeign ? `foreign-${index}` : `shop-dev-${each.service}-${each.name}${each.suffix}`,
          state: each.state,
          labels: each.isForeign
            ? { maintainer: 'somebody' }
            : {
                [LABELS.project]: 'shop',
                [LABELS.environment]: 'dev',
                [LABELS.service]: each.service,
                [LABELS.instance]: each.name,
                [LABELS.spec]: 'v1 env=old',
              },
        }),
      ),
    });
  });
  return planInput({ instances: world.instances, hosts });
});

test('applying a plan leaves nothing to plan', () => {
  assert(
    property(worlds, (input) => {
      const hosts = applyPlan(input, plan(input).plan.nodes);

      expect(plan({ ...input, hosts }).plan.nodes.map((node) => `${node.id} ${node.cause}`)).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

test('every step follows what it waits for, and each has its own name', () => {
  assert(
    property(worlds, (input) => {
      const seen = new Set<string>();
      for (const node of plan(input).plan.nodes) {
        expect(node.after.filter((id) => !seen.has(id))).toEqual([]);
        expect(seen.has(node.id)).toBe(false);
        seen.add(node.id);
      }
    }),
    { numRuns: 500 },
  );
});

test('a plan never touches what has no label of the project', () => {
  assert(
    property(worlds, (input) => {
      const foreign = input.hosts.flatMap((host) =>
        host.containers.filter((each) => each.labels[LABELS.project] === undefined).map((each) => each.id),
      );
      for (const { action } of plan(input).plan.nodes) {
        const touched = 'oldId' in action ? action.oldId : 'id' in action ? action.id : '';
        expect(foreign).not.toContain(touched);
      }
    }),
    { numRuns: 500 },
  );
});

test('no two steps write the same container without an edge between them', () => {
  assert(
    property(worlds, (input) => {
      const { nodes } = plan(input).plan;
      const makers = nodes.filter((node) => 'spec' in node.action && node.action.type !== 'verify-container');
      for (const maker of makers) {
        const name = 'spec' in maker.action ? maker.action.spec.name : '';
        const removals = nodes.filter(
          ({ host, action }) =>
            host === maker.host &&
            action.type === 'remove-container' &&
            [name, `${name}-new`, `${name}-old`].includes(action.name),
        );
        const oldId = maker.action.type === 'replace-container' ? maker.action.oldId : undefined;
        for (const removal of removals) {
          const isRetired = removal.action.type === 'remove-container' && removal.action.id === oldId;
          const [first, second] = isRetired ? [maker, removal] : [removal, maker];
          expect(isBefore(nodes, first.id, second.id)).toBe(true);
        }
        expect(
          makers.filter(
            (other) => other.host === maker.host && 'spec' in other.action && other.action.spec.name === name,
          ),
        ).toHaveLength(1);
      }
    }),
    { numRuns: 300 },
  );
});

test('the same inputs in another order give the same plan', () => {
  assert(
    property(worlds, (input) => {
      const mirrored = {
        ...input,
        instances: input.instances.toReversed(),
        desired: { ...input.desired, instances: input.desired.instances.toReversed() },
        hosts: input.hosts.toReversed().map((host) => ({ ...host, containers: host.containers.toReversed() })),
      };
      const text = (each: typeof input): readonly string[] =>
        plan(each)
          .plan.nodes.map(({ id, cause, after }) => `${id} ${cause} ${after.toSorted().join()}`)
          .toSorted();

      expect(text(mirrored)).toEqual(text(input));
    }),
    { numRuns: 300 },
  );
});

function isBefore(nodes: ReturnType<typeof plan>['plan']['nodes'], first: string, second: string): boolean {
  const after = nodes.find((node) => node.id === second)?.after ?? [];
  return after.includes(first) || after.some((id) => isBefore(nodes, first, id));
}
