// UTF-8 checked byte by byte.

/** By state: the bounds of the next byte, and the state behind it. 0 is between characters. */
const states = [
  undefined,
  { low: 0x80, high: 0xbf, next: 0 }, // 1: one more byte
  { low: 0x80, high: 0xbf, next: 1 }, // 2: two more
  { low: 0x80, high: 0xbf, next: 2 }, // 3: three more
  { low: 0xa0, high: 0xbf, next: 1 }, // 4: behind E0, which must not be too short
  { low: 0x80, high: 0x9f, next: 1 }, // 5: behind ED, where surrogates would be
  { low: 0x90, high: 0xbf, next: 2 }, // 6: behind F0
  { low: 0x80, high: 0x8f, next: 2 }, // 7: behind F4, where Unicode ends
] as const;

/** The state after a byte; -1 where it is no UTF-8. */
export function nextUtf8(state: number, byte: number): number {
  const inside = states[state];
  if (inside) return byte >= inside.low && byte <= inside.high ? inside.next : -1;
  if (byte < 0x80) return 0;
  if (byte < 0xc2 || byte > 0xf4) return -1;
  if (byte < 0xe0) return 1;
  if (byte < 0xf0) return byte === 0xe0 ? 4 : byte === 0xed ? 5 : 2;
  return byte === 0xf0 ? 6 : byte === 0xf4 ? 7 : 3;
}
