import { gunzipSync, gzipSync } from 'node:zlib';

/** Far above any config; what unpacks to more was not packed by cu. */
const LARGEST_BYTES = 8 * 1024 * 1024;

/** A document as a short text for a record: base64 of the gzip of its JSON. */
export function packDocument(document: unknown): string {
  return gzipSync(JSON.stringify(document)).toString('base64');
}

/** undefined: the text is none that `packDocument` made. */
export function unpackDocument(text: string): unknown {
  try {
    const json = gunzipSync(Buffer.from(text, 'base64'), { maxOutputLength: LARGEST_BYTES });
    return JSON.parse(json.toString('utf8'));
  } catch {
    return undefined;
  }
}
