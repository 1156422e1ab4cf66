// What the small buffers of a plan for decoding hold on the device, as the host knows it. The plan's embedding moves each
// token on by a row and a position (ops/embed.ts), so a run of the same sequences, each one token further, finds all of
// it there: the host writes nothing, and makes nothing to write.
import { asDrawn } from "../ops/embed.ts";
import type { BatchToken } from "./entrance.ts";

/** Words that are noted of a token: id, row, slot, position. */
const words = 4;

export class Mirror {
  /** Tokens of the run that was noted; 0: nobody knows what is there. */
  #count = 0;
  readonly #tokens: Uint32Array;

  /** `capacity`: of the plan. */
  constructor(capacity: number) {
    this.#tokens = new Uint32Array(words * capacity);
  }

  /** Whether a run of these is what comes by itself behind the one that was noted. */
  precedes(tokens: readonly BatchToken[]): boolean {
    if (tokens.length !== this.#count) return false;
    const held = this.#tokens;
    for (let t = 0, at = 0; t < tokens.length; t += 1, at += words) {
      const { id = asDrawn, row, slot, position } = tokens[t]!;
      if (id !== held[at] || slot !== held[at + 2]) return false;
      if (row !== held[at + 1]! + 1 || position !== held[at + 3]! + 1) return false;
    }
    return true;
  }

  /** The device has a run of these. */
  note(tokens: readonly BatchToken[]): void {
    this.#count = tokens.length;
    for (let t = 0, at = 0; t < tokens.length; t += 1, at += words) {
      const { id = asDrawn, row, slot, position } = tokens[t]!;
      this.#tokens[at] = id;
      this.#tokens[at + 1] = row;
      this.#tokens[at + 2] = slot;
      this.#tokens[at + 3] = position;
    }
  }

  /** The buffers are about to hold something else. */
  forget(): void {
    this.#count = 0;
  }
}
