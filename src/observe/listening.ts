/**
 * Reads the local addresses of listening sockets in `/proc/net/tcp` and `tcp6`
 * (`0100007F:1F90` is 127.0.0.1:8080: 32-bit words in the host's byte order, little-endian here).
 */
export function parseListening(
  fields: readonly string[],
): readonly { readonly address: string; readonly port: number }[] {
  return fields.flatMap((field) => {
    const [hex = '', portHex = ''] = field.split(':');
    const port = Number.parseInt(portHex, 16);
    const address = hex.length === 8 ? ipv4(hex) : ipv6(hex);
    return Number.isNaN(port) || address === undefined ? [] : [{ address, port }];
  });
}

function ipv4(hex: string): string {
  return bytesOf(hex).toReversed().join('.');
}

function ipv6(hex: string): string | undefined {
  if (hex.length !== 32) return undefined;
  const bytes = [0, 8, 16, 24].flatMap((at) => bytesOf(hex.slice(at, at + 8)).toReversed());
  if (bytes.every((byte) => byte === 0)) return '::';
  const isMapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  if (isMapped) return bytes.slice(12).join('.');
  const groups = [0, 2, 4, 6, 8, 10, 12, 14].map((at) => (((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)).toString(16));
  return groups.join(':').replace(/(^|:)0(:0)+(:|$)/, '::');
}

function bytesOf(hex: string): number[] {
  return (hex.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));
}
