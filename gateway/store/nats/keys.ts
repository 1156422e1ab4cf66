// Keys of ours as keys of a NATS bucket, which allows only [-/_=.a-zA-Z0-9], and no dot at an end or beside another.
// Anything else becomes =HH, byte by byte.

const plain = /[-/_a-zA-Z0-9]/;

export function encodeKey(key: string): string {
  return [...key].map((letter, i, all) => (isPlain(letter, i, all) ? letter : escape(letter))).join("");
}

export function decodeKey(key: string): string {
  return Buffer.from(
    key.replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
    "latin1",
  ).toString();
}

function isPlain(letter: string, i: number, all: readonly string[]): boolean {
  if (letter !== ".") return plain.test(letter);
  return i > 0 && i < all.length - 1 && all[i - 1] !== ".";
}

function escape(letter: string): string {
  return [...Buffer.from(letter)]
    .map((byte) => `=${byte.toString(16).toUpperCase().padStart(2, "0")}`)
    .join("");
}
