/** What a folder under src may import besides itself; see docs/architecture.md. */
function layer(name, allowed, why) {
  const folders = [name, ...allowed].join('|');
  return {
    name: `layer-${name}`,
    comment: why,
    severity: 'error',
    from: { path: `^src/${name}/` },
    to: { path: '^src/', pathNot: `^src/(${folders})/` },
  };
}

const everythingBelow = ['core', 'kinds', 'config', 'plan', 'transport', 'observe', 'build', 'ship', 'execute', 'history'];

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    layer('core', [], 'the words that all else is written in depend on nothing'),
    layer('kinds', ['core'], 'a kind expands its settings to what is desired and knows no host'),
    layer('config', ['core', 'kinds'], 'reading a config contacts nothing'),
    layer('plan', ['core'], 'the planner is a function of what is desired and what was observed'),
    layer('transport', ['core'], 'a connection does not know what it is used for'),
    layer('observe', ['core', 'transport'], 'observing reads and decides nothing'),
    layer('build', ['core', 'transport', 'ship'], 'images are built without knowing who runs them'),
    layer('ship', ['core', 'transport'], 'images travel without knowing who runs them'),
    layer('history', ['core', 'transport', 'observe'], 'what happened is written down by whoever calls'),
    layer('execute', ['core', 'transport', 'build', 'ship', 'observe', 'plan'], 'the executor does what the plan says and decides nothing'),
    layer('render', ['core'], 'renderers turn events and results into text and call nobody'),
    layer('app', [...everythingBelow, 'render'], 'use cases know neither flags nor terminals'),
    {
      name: 'app-knows-types-of-render-alone',
      comment: 'a use case returns the rows that a formatter takes, and formats nothing',
      severity: 'error',
      from: { path: '^src/app/' },
      to: { path: '^src/render/', dependencyTypesNot: ['type-only'] },
    },
    layer('cli', ['core', 'render', 'app'], 'a command parses, calls one use case and hands its result to a formatter'),
    {
      name: 'cli-loads-app-lazily',
      comment: 'a command that is not run costs nothing: only types and `await import()`',
      severity: 'error',
      from: { path: '^src/cli/' },
      to: { path: '^src/app/', dependencyTypesNot: ['dynamic-import', 'type-only'] },
    },
    {
      name: 'commands-load-lazily',
      comment: '`cu --help` loads no command',
      severity: 'error',
      from: { path: '^src/cli/[^/]+$|^src/main' },
      to: { path: '^src/cli/commands/', dependencyTypesNot: ['dynamic-import', 'type-only'] },
    },
    {
      name: 'pure-means-pure',
      comment: 'no I/O and no packages but zod where functions only turn data into data',
      severity: 'error',
      from: { path: '^src/(core|kinds|plan)/' },
      to: { dependencyTypes: ['core', 'npm', 'npm-dev', 'npm-optional', 'npm-peer'], pathNot: '^node_modules/zod' },
    },
    {
      name: 'colours-only-in-render',
      comment: 'logic is plain text; theme.ts colours it',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/render/' },
      to: { path: '^node_modules/(chalk|ora)/' },
    },
    {
      name: 'ssh-and-docker-only-in-transport',
      comment: 'nothing above transport sees the shapes of ssh2 or the Docker API client',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/transport/' },
      to: { path: '^node_modules/(ssh2|ssh-config|dockerode|docker-modem)/' },
    },
    {
      name: 'commander-only-in-program',
      comment: 'a command is data; one file knows the parser',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/program[.]ts$' },
      to: { path: '^node_modules/commander/' },
    },
    { name: 'no-circular', comment: 'a cycle is one module in two files; through `await import()` it is none', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['dynamic-import'] } } },
    { name: 'no-src-to-test', comment: 'tests are not shipped', severity: 'error', from: { path: '^src/' }, to: { path: '^(test|scripts)/' } },
    { name: 'no-unresolved', comment: 'an import that resolves to nothing', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'no-dev-dependency',
      comment: 'users do not have them',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.json'], exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
