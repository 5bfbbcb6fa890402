import { describe, expect, test } from 'vitest';
import { chooseEnvironment } from '../../../src/config/load.ts';
import { briefly, instance, parsed, problemsOf, resolved, withServices } from './read.ts';

const tiles = 'tiles: { kind: container, image: app, on: [host1, host2], env: { A: a, B: b }, memory: 1g }';

function withEnvironments(environments: string): string {
  return withServices(tiles, `environments: ${environments}`);
}

describe('an environment lies over the rest', () => {
  test('a map merges, a list and a scalar replace, null unsets', () => {
    const text = withEnvironments(
      '{ dev: { default: true }, stable: { services: { tiles: { env: { B: null, C: c }, on: [host2], memory: null } } } }',
    );

    const stable = resolved(text, { environment: 'stable' }).instances;

    expect(stable.map(({ host }) => host)).toEqual(['host2']);
    expect(stable[0]?.memory).toBeUndefined();
    expect(stable[0]?.env).toMatchObject({ A: 'a', C: 'c' });
    expect(stable[0]?.env).not.toHaveProperty('B');
    expect(resolved(text).instances.map(({ host }) => host)).toEqual(['host1', 'host2']);
  });

  test('null under build.args is a value and stays', () => {
    const text = withEnvironments('{ dev: {}, stable: { images: { app: { build: { args: { INDEX: null } } } } } }');

    expect(resolved(text, { environment: 'stable' }).images[0]).toMatchObject({ args: { INDEX: null } });
  });

  test('what it gets wrong is shown at its own line', () => {
    const text = withEnvironments('{ dev: {}, stable: { services: { tiles: { memory: 2G } } } }');

    expect(problemsOf(text)).toEqual([
      [
        'cu.config.yaml:5:65 services.tiles.memory: expected an amount such as 2g (6m or more), or a share of the host such as 70%, got "2G" (in environment stable)',
        '  environments: { dev: {}, stable: { services: { tiles: { memory: 2G } } } }',
        '                                                                  ^',
        '  did you mean 2g?',
      ].join('\n'),
    ]);
  });

  test('what is wrong in all of them is told once', () => {
    expect(briefly(withEnvironments('{ dev: {}, stable: {} }').replace('memory: 1g', 'memry: 1g'))).toEqual([
      '7:82 services.tiles.memry: unknown key "memry"',
    ]);
  });

  test('unsetting what is not there is a slip', () => {
    expect(problemsOf(withEnvironments('{ dev: {}, stable: { services: { tile: null } } }'))).toEqual([
      [
        'cu.config.yaml:5:48 environments.stable.services.tile: there is no "tile" to unset',
        '  environments: { dev: {}, stable: { services: { tile: null } } }',
        '                                                 ^',
        '  did you mean tiles?',
      ].join('\n'),
    ]);
  });

  test('the project cannot be changed, a second default and a bad name are refused', () => {
    expect(
      briefly(withEnvironments('{ dev: { default: true }, stable: { default: true, project: other }, "A B": {} }')),
    ).toEqual([
      '5:60 environments.stable.default: another environment is the default already',
      '5:66 environments.stable.project: an environment cannot change "project"',
      '5:84 environments."A B": expected a name of a-z, 0-9 and - that begins with a letter, got "A B"',
    ]);
  });
});

describe('without --env', () => {
  test('a config without environments has one, dev', () => {
    expect(resolved(withServices(tiles))).toMatchObject({ environment: 'dev', tag: 'dev' });
  });

  test('the only one is meant, or the default', () => {
    expect(resolved(withEnvironments('{ prod: { tag: live } }'))).toMatchObject({ environment: 'prod', tag: 'live' });
    expect(resolved(withEnvironments('{ a: , b: { default: true } }'))).toMatchObject({ environment: 'b', tag: 'b' });
  });

  test('else it is asked for, with the names', () => {
    const config = parsed(withEnvironments('{ one: {}, two: {} }'));

    expect(() => chooseEnvironment(config, undefined)).toThrow('which environment? cu.config.yaml has one, two');
    expect(() => chooseEnvironment(config, 'tow')).toThrow('cu.config.yaml has no environment called "tow"');
  });
});

test('an instance has the settings of its service, then of its host, then its own', () => {
  const text = withServices(
    'tiles: { kind: container, image: app, env: { A: 1, B: 1, C: 1 }, pids: 1, cpus: 1, memory: 1g, on: { host1: { env: { B: 2 }, pids: 2, instances: { big: { env: { C: 3 }, cpus: 3 } } } } }',
  );

  const big = instance(text, 'host1/tiles/big');

  expect(big).toMatchObject({
    env: { A: '1', B: '2', C: '3' },
    pids: 2,
    cpus: 3,
    memory: { type: 'bytes', bytes: 1024 ** 3 },
    containerName: 'shop-dev-tiles-big',
  });
});
