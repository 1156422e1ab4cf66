// API keys: what one is made of, how it is checked, and what it may do. A key is ctx-<id>-<secret>; the id is public and
// names the key in the file, of the rest only a SHA-256 is kept. The secret has 256 random bits, so that no slow hash is
// needed to keep it from being guessed.

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import * as v from "valibot";

/** In the place of a key's name, and of its id, for callers without one. */
export const anonymous = "anonymous";

const Count = v.pipe(v.number(), v.integer(), v.minValue(1));

const Name = v.pipe(
  v.string(),
  v.regex(/^[\w.@-]{1,64}$/, "expected up to 64 letters, digits or . _ @ -"),
  v.check((name) => name !== anonymous, "stands for callers without a key"),
);

/** Why a key cannot be called that; undefined when it can. */
export function nameProblem(name: string): string | undefined {
  return v.safeParse(Name, name).issues?.[0].message;
}

export const Key = v.pipe(
  v.strictObject({
    id: v.pipe(v.string(), v.regex(/^[0-9a-f]{12}$/, "expected 12 hexadecimal digits")),
    /** Stands in logs, metrics and in the neurons' limits. */
    name: Name,
    /** SHA-256 of the whole key, in hexadecimal. */
    hash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "expected 64 hexadecimal digits")),
    created: v.pipe(v.string(), v.isoTimestamp()),
    /** May drain, load and unload, and read everybody's usage. */
    admin: v.optional(v.boolean(), false),
    /** Ids or aliases; absent: all. */
    models: v.exactOptional(v.array(v.pipe(v.string(), v.nonEmpty()))),
    requests_per_min: v.exactOptional(Count),
    /** Of prompts and answers together, within a window that begins with its first request. */
    tokens: v.exactOptional(Count),
    window_s: v.exactOptional(Count),
    /** Requests at the same time. */
    concurrency: v.exactOptional(Count),
  }),
  v.check(
    ({ tokens, window_s }) => (tokens === undefined) === (window_s === undefined),
    "tokens and window_s go together",
  ),
);
export type Key = v.InferOutput<typeof Key>;

export const KeyFile = v.pipe(
  v.strictObject({ keys: v.array(Key) }),
  v.forward(
    v.check(({ keys }) => areDistinct(keys.map(({ id }) => id)), "two have the same id"),
    ["keys"],
  ),
  v.forward(
    v.check(({ keys }) => areDistinct(keys.map(({ name }) => name)), "two have the same name"),
    ["keys"],
  ),
);

export type Grants = Omit<Key, "id" | "hash" | "created">;

/** A new key: its text, which is told once, and what is kept of it. */
export function mintKey(grants: Grants, now = new Date()): { text: string; key: Key } {
  const id = randomBytes(6).toString("hex");
  const text = `ctx-${id}-${randomBytes(32).toString("base64url")}`;
  return { text, key: { id, hash: digest(text).toString("hex"), created: now.toISOString(), ...grants } };
}

/** The keys that are valid now. */
export class KeyRing {
  private readonly keys: ReadonlyMap<string, { key: Key; hash: Buffer }>;

  constructor(keys: readonly Key[]) {
    this.keys = new Map(keys.map((key) => [key.id, { key, hash: Buffer.from(key.hash, "hex") }]));
  }

  get all(): Key[] {
    return [...this.keys.values()].map(({ key }) => key);
  }

  /** Takes as long for an id that does not exist as for a secret that is wrong. */
  find(text: string): Key | undefined {
    const entry = this.keys.get(/^ctx-([0-9a-f]{12})-/.exec(text)?.[1] ?? "");
    const matches = timingSafeEqual(digest(text), entry?.hash ?? nobody);
    return matches ? entry?.key : undefined;
  }
}

/** No text is known to have it as its digest; if one had, there would still be no key. */
const nobody = Buffer.alloc(32);

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function areDistinct(names: readonly string[]): boolean {
  return new Set(names).size === names.length;
}
