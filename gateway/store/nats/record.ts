// What a key holds in a bucket: a line that says how long it lives and whether it lies in pieces, then the value.
// Lifetimes are counted by the server's clock, from when it took the record: gateways' clocks may jump and differ.

export interface StoredRecord {
  value: string;
  ttlMs?: number;
  /** The keys of the value's pieces, in order; the value here is then empty. */
  pieces?: string[];
}

export function encodeRecord({ value, ttlMs, pieces }: StoredRecord): string {
  return `${JSON.stringify({ ttlMs, pieces })}\n${value}`;
}

export function decodeRecord(text: string): StoredRecord {
  const end = text.indexOf("\n");
  const head = JSON.parse(text.slice(0, end)) as Omit<StoredRecord, "value">;
  return { ...head, value: text.slice(end + 1) };
}

/** Bytes in pieces of at most so many. */
export function cut(bytes: Uint8Array, most: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += most) pieces.push(bytes.subarray(at, at + most));
  return pieces;
}
