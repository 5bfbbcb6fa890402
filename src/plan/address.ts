import { CuError } from '../core/error.ts';
import type { ObservedHost } from '../core/state.ts';

/** The address that an interface, an address or `*` (as Docker writes it, `0.0.0.0`) means on a host; `key` names the setting in the error. */
export function bindAddress(bind: string, host: ObservedHost, key: string): string {
  if (bind === '*' || bind === '0.0.0.0') return '';
  const { interfaces } = host.facts;
  const ofInterface = interfaces[bind];
  if (ofInterface !== undefined) {
    const address = ofInterface.find((candidate) => !candidate.includes(':')) ?? ofInterface[0];
    if (address !== undefined) return address;
  }
  const known = Object.values(interfaces).flat();
  // A host behind a translated address does not list it; only names of interfaces can be told wrong for certain.
  if (/[.:]/.test(bind)) {
    if (known.length === 0 || known.includes(bind)) return bind;
    throw unknown(`address ${bind}`, host, key);
  }
  throw unknown(`interface called ${bind}`, host, key);
}

function unknown(what: string, host: ObservedHost, key: string): CuError {
  const listed = Object.entries(host.facts.interfaces)
    .map(([name, addresses]) => `${name} (${addresses.filter((address) => !address.startsWith('fe80')).join(', ')})`)
    .join(', ');
  return new CuError('HOST_MISMATCH', `${host.name} has no ${what}`, {
    host: host.name,
    hint: `${key} may name one of ${listed}, an address or *`,
  });
}
