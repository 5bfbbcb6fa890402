// The documentation page: a form for each public function, which follows a call until its result is there.
// Everything that comes from the server is shown as text, never as HTML.

const base = new URL('.', location.href);
const token = document.getElementById('token');
token.value = sessionStorage.getItem('token') ?? '';
token.addEventListener('input', () => sessionStorage.setItem('token', token.value));
document.getElementById('access').addEventListener('submit', (event) => event.preventDefault());

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, '');
    else if (value !== false && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

function request(path, options = {}) {
  const authorization = token.value ? { Authorization: `Bearer ${token.value}` } : {};
  return fetch(new URL(path.replace(/^\//, ''), base), { ...options, headers: { ...options.headers, ...authorization } });
}

async function start() {
  const count = document.getElementById('count');
  try {
    const { title, calls } = await (await request('v1/calls')).json();
    document.title = document.getElementById('title').textContent = title;
    count.textContent = calls.length === 1 ? '1 function' : `${calls.length} functions`;
    const entries = calls.map((call) => describe(call, calls.length <= 8));
    document.getElementById('calls').append(...entries.map((entry) => entry.section));
    document.getElementById('index').append(...entries.map((entry) => entry.link));
    document.getElementById('filter').addEventListener('input', ({ target }) => {
      for (const { text, section, link } of entries) section.hidden = link.hidden = !text.includes(target.value.toLowerCase());
    });
    const wanted = document.getElementById(location.hash.slice(1));
    if (wanted) wanted.open = true;
  } catch (error) {
    count.textContent = `The list of functions could not be loaded: ${error.message}`;
  }
}

function describe(call, isOpen) {
  const id = `call-${call.name}`;
  const fields = call.parameters.map((parameter) => field(parameter, `${id}-${parameter.name}`));
  const run = element('button', { type: 'submit' }, 'Try it out');
  const cancel = element('button', { type: 'button', hidden: true }, 'Cancel');
  const outcome = element('div', { class: 'outcome' });
  const form = element('form', { 'aria-label': `Try ${call.name}` }, ...fields.map((one) => one.row),
    element('div', { class: 'actions' }, run, cancel));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    run.disabled = true;
    await execute(call, fields, outcome, cancel);
    run.disabled = false;
    cancel.hidden = true;
  });
  const scope = call.scope ? element('p', { class: 'dim' }, 'Needs a token with the scope ', element('code', {}, call.scope), '.') : undefined;
  const section = element('details', { class: 'call', id, open: isOpen },
    element('summary', {}, element('h2', { class: 'name' }, call.name), element('span', { class: 'dim' }, call.summary)),
    element('div', { class: 'body' }, element('p', { class: 'doc' }, prose(call)), scope,
      element('p', { class: 'dim' }, `Returns ${typeName(call.returns)}.`), form, outcome));
  const anchor = element('a', { href: `#${id}`, class: 'name' }, call.name);
  anchor.addEventListener('click', () => { section.open = true; });
  return { section, link: element('li', {}, anchor), text: `${call.name} ${call.doc}`.toLowerCase() };
}

// The docstring without its paragraphs about arguments, which stand beside their fields.
function prose(call) {
  const names = call.parameters.map((parameter) => parameter.name).join('|');
  const isAboutArguments = new RegExp(`^\\s*((Args|Arguments|Parameters):?\\s*(\n|$)|:param |(${names})\\s*(\\([^)]*\\))?:)`);
  return call.doc.split(/\n\s*\n/).filter((paragraph) => !isAboutArguments.test(paragraph)).join('\n\n');
}

// A schema that names one of its own definitions, as that definition.
function resolved(schema) {
  return { ...schema.$defs?.[schema.$ref?.split('/').pop()], ...schema };
}

function typeName(given = {}) {
  const schema = resolved(given);
  if (schema.format === 'binary') return 'file';
  if (schema.enum) return `one of ${schema.enum.map((value) => JSON.stringify(value)).join(', ')}`;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf) return schema.anyOf.map(typeName).join(' or ');
  if (schema.$ref && !schema.type) return schema.$ref.split('/').pop();
  if (schema.type === 'array' && schema.items) return `array of ${typeName(schema.items)}`;
  const name = [].concat(schema.type ?? schema.title ?? 'any JSON').join(' or ');
  const limits = [['minimum', '≥'], ['exclusiveMinimum', '>'], ['maximum', '≤'], ['exclusiveMaximum', '<']]
    .filter(([key]) => schema[key] !== undefined).map(([key, sign]) => `${sign} ${schema[key]}`).join(', ');
  return [name, schema.format && `(${schema.format})`, limits].filter(Boolean).join(' ');
}

// One argument: its row of the form, and `read`, which gives JSON text, a File, or undefined when it is left out.
function field(parameter, id) {
  const { name, required } = parameter;
  const schema = resolved(parameter.schema);
  const kinds = (schema.anyOf ?? [schema]).filter((one) => one.type !== 'null');
  const kind = kinds.length === 1 ? kinds[0] : {};
  const fallback = required ? undefined : JSON.stringify(parameter.default);
  const common = { id, name, required, 'aria-describedby': `${id}-help` };
  const options = kind.enum ?? (kind.type === 'boolean' ? [true, false] : undefined);
  let input;
  let read = () => (input.value === '' && !required ? undefined : JSON.stringify(input.value));
  if (parameter.is_file) {
    input = element('input', { ...common, type: 'file' });
    read = () => input.files[0];
  } else if (options) {
    const texts = options.map((value) => JSON.stringify(value));
    input = element('select', common, ...(required ? [] : [element('option', { value: '' }, `default: ${fallback}`)]),
      ...texts.map((text) => element('option', { value: text }, text)));
    read = () => input.value || undefined;
  } else if (kind.type === 'integer' || kind.type === 'number') {
    input = element('input', { ...common, type: 'number', step: kind.type === 'integer' ? 1 : 'any',
      min: kind.minimum, max: kind.maximum, placeholder: fallback });
    // As typed where that is JSON, because a large integer would not survive as a JavaScript number.
    read = () => (/^(-?(0|[1-9]\d*))?$/.test(input.value) ? input.value : String(Number(input.value))) || undefined;
  } else if (kind.type === 'string') {
    input = element('input', { ...common, required: false, type: 'text', placeholder: fallback });
  } else {
    input = element('textarea', { ...common, spellcheck: 'false', placeholder: fallback ?? 'JSON' });
    read = () => {
      if (input.value.trim() === '') return undefined;
      try {
        JSON.parse(input.value);
      } catch (error) {
        throw new Error(`${name} is not JSON: ${error.message}`);
      }
      return input.value;
    };
  }
  const fact = required ? 'required' : fallback === undefined ? 'optional' : `default ${fallback}`;
  const row = element('div', { class: 'argument' },
    element('div', {}, element('label', { for: id, class: 'name' }, name),
      element('small', {}, `${parameter.is_file ? 'file' : typeName(schema)}, ${fact}`)),
    input, element('small', { class: 'help', id: `${id}-help` }, parameter.doc ?? ''));
  return { name, row, read };
}

async function execute(call, fields, outcome, cancel) {
  const state = element('p', { class: 'state', role: 'status' }, 'Sending…');
  const bar = element('progress', { max: 1, 'aria-label': 'Progress' });
  const log = element('pre', { hidden: true, 'aria-label': 'Log' });
  const result = element('div', { class: 'result' });
  outcome.replaceChildren(state, bar, log, result);
  const began = performance.now();
  const say = (text, mood = '') => { state.textContent = text; state.className = `state ${mood}`; };
  try {
    const values = fields.map(({ name, read }) => [name, read()]).filter(([, value]) => value !== undefined);
    result.after(commandFor(call, values));
    let answer = await request(`v1/call/${call.name}`, { method: 'POST', ...bodyFor(values) });
    const isHit = answer.status === 200;
    if (answer.status === 202) {
      const { location: path } = await answer.json();
      cancel.hidden = false;
      cancel.onclick = () => request(path, { method: 'DELETE' });
      await follow(path, (job) => {
        say([job.state, job.progress && `${Math.round(job.progress * 100)} %`, job.message].filter(Boolean).join(' · '));
        if (job.progress) bar.value = job.progress;
        if (job.log) { log.hidden = false; log.append(`${job.log}\n`); }
      });
      answer = await request(`${path}/result`);
    }
    const took = `${Math.round(performance.now() - began)} ms`;
    if (answer.ok) {
      result.append(...await show(answer));
      say(`Done in ${took}${isHit ? ', from the cache' : ''}`, 'good');
    } else {
      const problem = await answer.json();
      say(`Failed (${answer.status}): ${problem.detail}`, 'bad');
      result.append(element('details', {}, element('summary', { class: 'dim' }, 'The whole answer'),
        element('pre', { tabindex: 0 }, JSON.stringify(problem, null, 2))));
    }
  } catch (error) {
    say(error.message, 'bad');
  }
  bar.remove();
}

function bodyFor(values) {
  if (!values.some(([, value]) => value instanceof File)) {
    const body = `{${values.map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(', ')}}`;
    return { body, headers: { 'Content-Type': 'application/json' } };
  }
  const body = new FormData();
  for (const [name, value] of values) body.append(name, value);
  return { body };
}

function commandFor(call, values) {
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const { body } = bodyFor(values);
  const parts = body instanceof FormData
    ? values.map(([name, value]) => `-F ${quote(`${name}=${value instanceof File ? `@${value.name}` : value}`)}`)
    : [`-H 'Content-Type: application/json' -d ${quote(body)}`];
  const lines = [`curl ${new URL(`v1/call/${call.name}`, base)}`, `-H "Authorization: Bearer $API_TOKEN"`, "-H 'Prefer: wait=60'", ...parts];
  return element('details', {}, element('summary', { class: 'dim' }, 'The same with curl'), element('pre', {}, lines.join(' \\\n  ')));
}

// Follows a job by its events until it ends; a broken stream is taken up again.
async function follow(path, onChange) {
  const job = { state: 'queued' };
  for (;;) {
    const answer = await request(`${path}/events`);
    if (!answer.ok) throw new Error((await answer.json()).detail);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const events = (text + part.value).split('\n\n');
        text = events.pop();
        for (const event of events) {
          const data = event.split('\n').find((line) => line.startsWith('data: '));
          if (!data) continue;
          Object.assign(job, { log: undefined }, JSON.parse(data.slice(6)));
          onChange(job);
        }
      }
    } catch {
      // The connection broke: the next round asks again.
    }
    if (['done', 'failed', 'dead', 'cancelled'].includes(job.state)) return;
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
  }
}

async function show(answer) {
  const type = answer.headers.get('content-type') ?? '';
  const blob = await answer.blob();
  const name = /filename="([^"]+)"/.exec(answer.headers.get('content-disposition') ?? '')?.[1]
    ?? (type.includes('json') ? 'result.json' : 'result');
  const href = URL.createObjectURL(blob);
  const link = element('a', { href, download: name }, `Download ${name} (${blob.size.toLocaleString('en')} B, ${type})`);
  if (type.startsWith('image/')) return [element('p', {}, element('img', { src: href, alt: `Result ${name}` })), link];
  if (!/json|^text\//.test(type)) return [link];
  const text = await blob.slice(0, 200_000).text();
  if (text.length < blob.size && blob.size > 200_000) return [element('pre', {}, `${text}…`), link];
  return [element('pre', { tabindex: 0 }, type.includes('json') && text.length > 80 ? JSON.stringify(JSON.parse(text), null, 2) : text), link];
}

start();
