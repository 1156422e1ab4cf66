// The file of keys: readable by its owner alone, written whole or not at all, and read again when it has changed, so
// that a key which is revoked is refused within a second.

import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import * as v from "valibot";
import { ConfigError, describe, whyNot } from "../config.ts";
import type { Key } from "./keys.ts";
import { KeyFile, KeyRing } from "./keys.ts";
import type { Log } from "../telemetry/log.ts";

/** Throws ConfigError when the file is there and is not a file of keys; where there is none there are no keys. */
export function readKeys(path: string): Key[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw new ConfigError(`${path}: cannot be read: ${whyNot(error)}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ConfigError(`${path}: is not JSON`); // the parser's own words would quote it
  }
  const result = v.safeParse(KeyFile, value, { abortPipeEarly: true });
  if (result.success) return result.output.keys;
  throw new ConfigError(result.issues.map((issue) => `${path}: ${describe(issue)}`).join("\n"));
}

/** Writes what `change` makes of the keys. Throws ConfigError when somebody else is at it. */
export function changeKeys<T>(path: string, change: (keys: Key[]) => { keys: Key[]; result: T }): T {
  const beside = `${path}.new`;
  closeSync(openNew(beside)); // whoever makes it first has the turn
  try {
    const { keys, result } = change(readKeys(path));
    writeFileSync(beside, `${JSON.stringify({ keys }, null, 2)}\n`);
    renameSync(beside, path);
    return result;
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}

function openNew(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (error) {
    const taken = "another change is under way; if none is, remove this file";
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "there is no such folder" : whyNot(error);
    throw new ConfigError(`${path}: ${code === "EEXIST" ? taken : `cannot be written: ${why}`}`);
  }
}

const lookAgainMs = 500;

/** The keys of a file as they are now; a change that cannot be read leaves the old ones, and is told once. */
export class WatchedKeys {
  private readonly path: string;
  private readonly log: Log;
  private readonly now: () => number;
  private ring: KeyRing;
  private seen: string;
  private lookedAt: number;

  /** Throws ConfigError. */
  constructor(path: string, log: Log, now = () => performance.now()) {
    this.path = path;
    this.log = log;
    this.now = now;
    this.seen = stampOf(path);
    this.ring = new KeyRing(readKeys(path));
    this.lookedAt = now();
  }

  current(): KeyRing {
    if (this.now() - this.lookedAt < lookAgainMs) return this.ring;
    this.lookedAt = this.now();
    const stamp = stampOf(this.path);
    if (stamp !== this.seen) this.readAgain(stamp);
    return this.ring;
  }

  private readAgain(stamp: string): void {
    this.seen = stamp;
    try {
      this.ring = new KeyRing(readKeys(this.path));
      this.log.info("keys read", { keys: this.ring.all.length });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.log.error("keys not read; the old ones hold", { reason: error.message });
    }
  }
}

/** Changes whenever the file does. */
function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? "" : `${stat.mtimeMs} ${stat.size} ${stat.ino}`;
}
