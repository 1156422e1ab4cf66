// Which part of each tensor a rank has. Projections into heads and into the MLP are cut by rows, those back into the
// residual stream by columns, so that a rank's heads and units are computed whole where they are, and only the sums over
// ranks cross: two a layer. The scheme is that of Megatron-LM (Shoeybi et al., 2019), with the delta net's regions each
// cut by its own heads, and every expert of a mixture along its own width. The head is cut by rows, each rank having the
// logits of its own tokens (serve/draw/shared.ts). What is small or read by all (norms, router, embedding, vision tower)
// every rank has; so has it a tied head, of which it multiplies its own rows: that spares reading, not memory.
import { EngineError } from "../errors.ts";
import { blockFormats, isBlockType } from "../formats/blocks/format.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { DeltaSettings, ExpertsConfig, HeadShare, ModelConfig } from "../models/config.ts";
import { portionsOf, type DeltaPortion, type ExpertsPortion, type Portion } from "./portions.ts";
import { length, shifted, times, type Span } from "./split.ts";

/** A part of a tensor [rows, …]: rows of it, put together in this order, and of each row these columns. */
export interface Slice {
  /** The tensor is [stack, rows, …], and of each of the stack the same part is meant. */
  readonly stack?: number;
  /** Rows of the whole tensor. */
  readonly rows?: Cut;
  /** Columns of the whole tensor. */
  readonly columns?: Cut;
}

interface Cut {
  readonly of: number;
  readonly spans: readonly Span[];
}

/** What one rank builds: a model of its own size, and where its weights lie in the checkpoint's. */
export interface RankShare {
  readonly rank: number;
  readonly config: ModelConfig;
  /** Undefined: the rank has the whole tensor. */
  sliceOf(name: string): Slice | undefined;
}

/**
 * The shares of a model for devices of these weights ([1, 1]: two equal ones; [2, 1]: the first has twice as much).
 * `block`: of its checkpoint (blockOf).
 * Errors: bad_request for such weights; unsupported_model where heads or units cannot be dealt so, with the figures.
 */
export function sharesOf(config: ModelConfig, weights: readonly number[], block = 1): RankShare[] {
  checkWeights(weights);
  return portionsOf(config, weights, block).map((portion, rank) => ({
    rank,
    config: ownConfig(config, portion),
    sliceOf: (name) => sliceOf(config, portion, name),
  }));
}

/** Values of the largest block of any matrix that is cut by columns; 1: none has blocks. */
export function blockOf(checkpoint: Pick<Checkpoint, "names" | "quant" | "entry">): number {
  const matrices = checkpoint.names.filter((name) => /\.(?:o|out|down)_proj(?:\.weight)?$/.test(name));
  const types = [checkpoint.quant, ...matrices.map((name) => checkpoint.entry(name).dtype)];
  const sizes = types.map((type) => (type && isBlockType(type) ? blockFormats[type].values : 1));
  return Math.max(...sizes);
}

function checkWeights(weights: readonly number[]): void {
  const wrong = weights.find((weight) => !(Number.isFinite(weight) && weight > 0));
  if (wrong === undefined && weights.length > 0) return;
  throw new EngineError(
    "bad_request",
    `weights: [${weights.join(", ")}]; each device wants a number above 0`,
  );
}

function ownConfig(config: ModelConfig, portion: Portion): ModelConfig {
  const { heads, kvHeads, units, experts, delta, head } = portion;
  return {
    ...config,
    ...(head && { head }),
    heads: length(heads),
    kvHeads: length(kvHeads),
    intermediate: length(units),
    experts: config.experts && {
      ...config.experts,
      intermediate: length(experts!.units),
      shared: experts!.shared && length(experts!.shared),
    },
    delta: config.delta && {
      ...config.delta,
      keyHeads: length(delta!.keyHeads),
      valueHeads: delta!.valueHeads.reduce((sum, span) => sum + length(span), 0),
    },
  };
}

/** Where in a layer a tensor lies, and what it is. */
const layerTensor =
  /(?:^|\.)layers\.\d+\.(?:self_attn|linear_attn|mlp(?<experts>\.experts(?:\.\d+)?|\.shared_expert)?)\.(?<part>\w+)(?<kind>\.weight|\.bias)?$/;

function sliceOf(c: ModelConfig, portion: Portion, name: string): Slice | undefined {
  if (name === "lm_head.weight") return portion.head && headSlice(portion.head, c.vocab);
  const found = layerTensor.exec(name)?.groups;
  if (!found || name.includes("visual.")) return undefined;
  const { experts, part } = found as { experts?: string; part: string };
  if (experts === ".shared_expert") return unitsSlice(part, portion.experts?.shared, c.experts?.shared ?? 0);
  if (experts) return expertsSlice(c.experts!, portion.experts!, part, experts === ".experts");
  const perHead = c.headDim * (c.attention.outputGate ? 2 : 1);
  switch (part) {
    case "q_proj":
      return { rows: cut(portion.heads, perHead, c.heads) };
    case "k_proj":
    case "v_proj":
      return { rows: cut(portion.kvHeads, c.headDim, c.kvHeads) };
    case "o_proj":
      return found["kind"] === ".bias" ? undefined : { columns: cut(portion.heads, c.headDim, c.heads) };
    case "gate_proj":
    case "up_proj":
    case "down_proj":
      return unitsSlice(part, portion.units, c.intermediate);
    default:
      return c.delta && deltaSlice(c.delta, portion.delta!, part);
  }
}

function cut(span: Span, size: number, of: number): Cut {
  return { of: of * size, spans: [times(span, size)] };
}

function headSlice({ rank, spans }: HeadShare, of: number): Slice {
  return { rows: { of, spans: [spans[rank]!] } };
}

/** Of an MLP: units are rows on the way in, and columns on the way out. */
function unitsSlice(part: string, units: Span | undefined, of: number): Slice | undefined {
  if (!units) return undefined;
  return part === "down_proj" ? { columns: cut(units, 1, of) } : { rows: cut(units, 1, of) };
}

/** Of all experts in one tensor, which may have both the gates and what they open, or of one. */
function expertsSlice(m: ExpertsConfig, { units }: ExpertsPortion, part: string, stacked: boolean): Slice {
  const stack = stacked ? { stack: m.experts } : {};
  if (part !== "gate_up_proj") return { ...stack, ...unitsSlice(part, units, m.intermediate) };
  return { ...stack, rows: { of: 2 * m.intermediate, spans: [units, shifted(units, m.intermediate)] } };
}

/** Tensors of the delta net; `norm` is of one head's width and whole. */
function deltaSlice(delta: DeltaSettings, portion: DeltaPortion, part: string): Slice | undefined {
  const { keyHeads, valueHeads, keyDim, valueDim } = delta;
  const keys = times(portion.keyHeads, keyDim);
  const values = (size: number) => portion.valueHeads.map((span) => times(span, size));
  const allKeys = keyHeads * keyDim;
  const channels = 2 * allKeys + valueHeads * valueDim;
  switch (part) {
    case "in_proj_qkv":
    case "conv1d": {
      const spans = [
        keys,
        shifted(keys, allKeys),
        ...values(valueDim).map((span) => shifted(span, 2 * allKeys)),
      ];
      return { rows: { of: channels, spans } };
    }
    case "in_proj_z":
      return { rows: { of: valueHeads * valueDim, spans: values(valueDim) } };
    case "in_proj_a":
    case "in_proj_b":
    case "A_log":
    case "dt_bias":
      return { rows: { of: valueHeads, spans: values(1) } };
    case "out_proj":
      return { columns: { of: valueHeads * valueDim, spans: values(valueDim) } };
    default:
      return undefined;
  }
}
