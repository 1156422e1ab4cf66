// Some of a plan's steps, as the device gets them: workgroups counted, cut into submits. Runs of decoding are alike, so what
// the last one came to is kept, and to walk it again makes nothing.
import type { Extent } from "./pass.ts";

/** One dispatch of a plan. */
export interface Step {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly groups: readonly [Extent, Extent, Extent];
  readonly flops: Extent;
  readonly kernel: string;
  /** Of the kernel and its weight's size, for who measures. */
  readonly name: string;
}

/** A step of a run: workgroups in x, y and z. */
interface Dispatch {
  readonly step: Step;
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

type Submit = readonly Dispatch[];

export class Piece {
  readonly steps: readonly Step[];
  /** Of the run that was laid last. */
  #tokens = 0;
  #flopsPerSubmit = 0;
  #submits: readonly Submit[] = [];

  constructor(steps: readonly Step[]) {
    this.steps = steps;
  }

  /**
   * What a run of so many tokens submits, in order; at least one submit, though there may be nothing in it. No more than
   * `flopsPerSubmit` (estimated) go into one, but for a dispatch that has more by itself.
   */
  submits(tokens: number, flopsPerSubmit: number): readonly Submit[] {
    if (tokens === this.#tokens && flopsPerSubmit === this.#flopsPerSubmit) return this.#submits;
    this.#submits = laid(this.steps, tokens, flopsPerSubmit);
    this.#tokens = tokens;
    this.#flopsPerSubmit = flopsPerSubmit;
    return this.#submits;
  }
}

function laid(steps: readonly Step[], tokens: number, flopsPerSubmit: number): Submit[] {
  let submit: Dispatch[] = [];
  const submits = [submit];
  let flops = 0;
  for (const step of steps) {
    const [x, y, z] = step.groups;
    const dispatch = { step, x: extent(x, tokens), y: extent(y, tokens), z: extent(z, tokens) };
    if (dispatch.x * dispatch.y * dispatch.z === 0) continue; // a part that only larger runs have
    const cost = extent(step.flops, tokens);
    if (flops > 0 && flops + cost > flopsPerSubmit) {
      submits.push((submit = []));
      flops = 0;
    }
    flops += cost;
    submit.push(dispatch);
  }
  return submits;
}

function extent(value: Extent, tokens: number): number {
  return typeof value === "number" ? value : value(tokens);
}
