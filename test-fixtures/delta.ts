// Inputs of the gated delta net's tests, and a layer that runs step by step on a device with its state carried.
import type { Gpu } from "../engine/gpu/adapter.ts";
import type { Pass } from "../engine/gpu/pass.ts";
import { permanent, free, type Tensor } from "../engine/gpu/tensor.ts";
import {
  createDeltaState,
  deltaRule,
  deltaWidths,
  readDeltaState,
  type DeltaConfig,
  type DeltaState,
  type DeltaWeights,
} from "../engine/ops/delta.ts";
import type { DeltaTwinWeights } from "../engine/reference/delta.ts";
import { runOps } from "./run.ts";

export interface DeltaInputs {
  config: DeltaConfig;
  /** [T, C + Nv·Dv + 2·Nv] */
  u: Float32Array;
  weights: DeltaTwinWeights & { convWeight: Float32Array; norm: Float32Array };
}

/** Reproducible normal values. */
export function normals(seed: number): () => number {
  let state = seed >>> 0 || 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 4294967296;
  };
  for (let i = 0; i < 8; i++) uniform();
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** A layer as checkpoints have it: decays from e^-0.001 to e^-1 a token, values and gates of order 1. */
export function deltaInputs(config: DeltaConfig, T: number, seed = 1): DeltaInputs {
  const { channels, row } = deltaWidths(config);
  const normal = normals(seed);
  const draw = (count: number, scale = 1, mean = 0) =>
    Float32Array.from({ length: count }, () => mean + scale * normal());
  return {
    config,
    u: draw(T * row),
    weights: {
      convWeight: draw(channels * 4, 0.5),
      A_log: draw(config.valueHeads, 1.5, -1.5),
      dt_bias: draw(config.valueHeads, 1, -1),
      norm: draw(config.valueDim, 0.3, 1),
      eps: 1e-6,
    },
  };
}

/** Columns of u that hold q, k, v, z, b and a. */
export function columns(config: DeltaConfig) {
  const { keyHeads, keyDim, valueHeads } = config;
  const { channels, values, row } = deltaWidths(config);
  const keys = keyHeads * keyDim;
  return { q: 0, k: keys, v: 2 * keys, z: channels, b: channels + values, a: channels + values + valueHeads, row };
}

/** Inputs with chosen columns: `edit` gets a token's row. */
export function editedInputs(
  config: DeltaConfig,
  T: number,
  edit: (row: Float32Array, t: number, at: ReturnType<typeof columns>) => void,
): DeltaInputs {
  const inputs = deltaInputs(config, T, 11);
  const at = columns(config);
  for (let t = 0; t < T; t++) edit(inputs.u.subarray(t * at.row, (t + 1) * at.row), t, at);
  return inputs;
}

/** What records the layer; deltaRule, or one of its paths. */
export type DeltaOp = (
  pass: Pass,
  u: Tensor,
  weights: DeltaWeights,
  config: DeltaConfig,
  state: DeltaState,
) => Tensor;

/** A layer on a device: weights uploaded, state carried from run to run. */
export class DeltaLayer {
  readonly state: DeltaState;
  readonly weights: DeltaWeights;
  readonly #gpu: Gpu;
  readonly #inputs: DeltaInputs;
  readonly #op: DeltaOp;
  #past = 0;

  constructor(gpu: Gpu, inputs: DeltaInputs, op: DeltaOp = deltaRule) {
    this.#gpu = gpu;
    this.#inputs = inputs;
    this.#op = op;
    this.state = createDeltaState(gpu, inputs.config);
    const { convWeight, A_log, dt_bias, norm, eps } = inputs.weights;
    const upload = (label: string, shape: number[], data: ArrayLike<number>) =>
      permanent(gpu, label, shape, Float32Array.from(data));
    this.weights = {
      convWeight: upload("convWeight", [convWeight.length / 4, 4], convWeight),
      A_log: upload("A_log", [A_log.length], A_log),
      dt_bias: upload("dt_bias", [dt_bias.length], dt_bias),
      norm: upload("norm", [norm.length], norm),
      eps,
    };
  }

  /** The next `tokens` of the inputs in a pass of `capacity`, whose other rows hold NaN. y: [tokens, Nv·Dv] */
  async run(tokens: number, capacity = tokens): Promise<Float32Array> {
    const { row, values } = deltaWidths(this.#inputs.config);
    const padded = new Float32Array(capacity * row).fill(NaN);
    padded.set(this.#inputs.u.subarray(this.#past * row, (this.#past + tokens) * row));
    const u = permanent(this.#gpu, "u", [capacity, row], padded);
    const [y] = await runOps(this.#gpu, { capacity, tokens, past: this.#past }, (pass) => [
      this.#op(pass, u, this.weights, this.#inputs.config, this.state),
    ]);
    this.#past += tokens;
    free(u);
    return (y as Float32Array).subarray(0, tokens * values);
  }

  /** Run after run. `room` is what a pass holds beyond its tokens. */
  async runAll(splits: readonly number[], room: (tokens: number) => number = () => 0): Promise<Float32Array> {
    const parts: Float32Array[] = [];
    for (const T of splits) parts.push(await this.run(T, T + room(T)));
    const y = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((at, part) => (y.set(part, at), at + part.length), 0);
    return y;
  }

  /** S [Nv, Dk, Dv] */
  async readS(): Promise<Float32Array> {
    return (await readDeltaState(this.#gpu, this.state)).S;
  }

  /** The last three columns [3, C], oldest first. */
  async readWindow(): Promise<Float32Array> {
    const { ring } = await readDeltaState(this.#gpu, this.state);
    const C = this.state.channels;
    const rows = [3, 2, 1].map((back) => (this.#past + 4 - back) % 4);
    return Float32Array.from(rows.flatMap((row) => [...ring.subarray(row * C, (row + 1) * C)]));
  }

  /** The inputs from their start again; the state is the caller's to reset. */
  rewind(): void {
    this.#past = 0;
  }

  destroy(): void {
    free(this.state.memory);
    const { convWeight, A_log, dt_bias, norm } = this.weights;
    free(convWeight, A_log, dt_bias, norm);
  }
}
