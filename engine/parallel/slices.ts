// Which part of each tensor a rank has. Projections into heads and into the MLP are cut by rows, those back into the
// residual stream by columns, so that a rank's heads and units are computed whole where they are, and only the sums over
// ranks cross: two a layer. The scheme is that of Megatron-LM (Shoeybi et al., 2019), with the delta net's regions each
// cut by its own heads. What is small or read by all (norms, embedding, vision tower) every rank has.
import { EngineError } from "../errors.ts";
import type { DeltaSettings, ModelConfig } from "../models/config.ts";
import { deal, length, shifted, times, type Span } from "./split.ts";

/** A part of a tensor [rows, …]: rows of it, put together in this order, and of each row these columns. */
export interface Slice {
  /** Rows of the whole tensor. */
  readonly rows?: { readonly of: number; readonly spans: readonly Span[] };
  /** Columns of the whole tensor. */
  readonly columns?: { readonly of: number; readonly spans: readonly Span[] };
}

/** What one rank builds: a model of its own size, and where its weights lie in the checkpoint's. */
export interface RankShare {
  readonly rank: number;
  readonly config: ModelConfig;
  /** Undefined: the rank has the whole tensor. */
  sliceOf(name: string): Slice | undefined;
}

/** The heads and units of one rank. */
interface Portion {
  heads: Span;
  kvHeads: Span;
  units: Span;
  delta: DeltaPortion | undefined;
}

interface DeltaPortion {
  keyHeads: Span;
  /** In the order of the checkpoint. */
  valueHeads: readonly Span[];
}

/**
 * The shares of a model for devices of these weights ([1, 1]: two equal ones; [2, 1]: the first has twice as much).
 * Errors: bad_request where the heads or the MLP cannot be dealt so, with the figures.
 */
export function sharesOf(config: ModelConfig, weights: readonly number[]): RankShare[] {
  checkWeights(weights);
  if (config.experts && weights.length > 1) {
    const text = `${config.modelType} has experts, which are not dealt to several devices yet`;
    throw new EngineError("unsupported_model", text);
  }
  const attention = dealAttention(config, weights);
  const units = dealUnits(config, weights);
  const delta = config.delta && dealDelta(config.delta, weights);
  return weights.map((_, rank) => {
    const portion = { ...attention[rank]!, units: units[rank]!, delta: delta?.[rank] };
    return { rank, config: ownConfig(config, portion), sliceOf: (name) => sliceOf(config, portion, name) };
  });
}

function checkWeights(weights: readonly number[]): void {
  const wrong = weights.find((weight) => !(Number.isFinite(weight) && weight > 0));
  if (wrong === undefined && weights.length > 0) return;
  throw new EngineError(
    "bad_request",
    `weights: [${weights.join(", ")}]; each device wants a number above 0`,
  );
}

/** Query heads that share a key head stay together; where there are fewer key heads than ranks, copies do. */
function dealAttention({ heads, kvHeads }: ModelConfig, weights: readonly number[]) {
  const names = { many: "num_attention_heads", few: "num_key_value_heads" };
  const dealt = dealGroups({ many: heads, few: kvHeads }, weights, names);
  return dealt.map(({ many, few }) => ({ heads: many, kvHeads: few }));
}

function dealDelta(delta: DeltaSettings, weights: readonly number[]): DeltaPortion[] {
  const { keyHeads, valueHeads } = delta;
  const names = { many: "linear_num_value_heads", few: "linear_num_key_heads" };
  // The kernels want an even number of value heads.
  const step = { many: 2, few: (valueHeads / keyHeads) % 2 === 0 ? 1 : 2 };
  return dealGroups({ many: valueHeads, few: keyHeads }, weights, names, step).map(({ many, few }) => ({
    keyHeads: few,
    valueHeads: valueSpans(delta, many),
  }));
}

/** Many heads, of which neighbouring ones share one of few: whole groups, or parts of one group; in such steps. */
function dealGroups(
  of: { many: number; few: number },
  weights: readonly number[],
  names: { many: string; few: string },
  step = { many: 1, few: 1 },
): { many: Span; few: Span }[] {
  const group = of.many / of.few;
  if (of.few / step.few >= weights.length) {
    return dealSteps(of.few, step.few, weights, names.few).map((few) => ({ many: times(few, group), few }));
  }
  return dealSteps(of.many, step.many, weights, names.many).map((many) => {
    const [first, last] = [Math.floor(many.from / group), Math.floor((many.to - 1) / group)];
    if (first === last) return { many, few: { from: first, to: first + 1 } };
    const text = `${of.many} in groups of ${group} cannot be dealt to ${weights.length} devices`;
    throw new EngineError("bad_request", `${names.many}: ${text}: one would have parts of two groups`);
  });
}

function dealSteps(total: number, step: number, weights: readonly number[], what: string): Span[] {
  if (total % step !== 0) return deal(total, weights, what);
  const name = step === 1 ? what : `${what} in steps of ${step}`;
  return deal(total / step, weights, name).map((span) => times(span, step));
}

/** Whole blocks of every block format, so that a rank's columns are whole blocks; smaller steps for small models. */
function dealUnits({ intermediate }: ModelConfig, weights: readonly number[]): Span[] {
  const step = [256, 32, 1].find(
    (size) => intermediate % size === 0 && intermediate / size >= weights.length,
  )!;
  return deal(intermediate / step, weights, `intermediate_size in steps of ${step}`).map((span) =>
    times(span, step),
  );
}

function ownConfig(config: ModelConfig, { heads, kvHeads, units, delta }: Portion): ModelConfig {
  return {
    ...config,
    heads: length(heads),
    kvHeads: length(kvHeads),
    intermediate: length(units),
    delta: config.delta && {
      ...config.delta,
      keyHeads: length(delta!.keyHeads),
      valueHeads: delta!.valueHeads.reduce((sum, span) => sum + length(span), 0),
    },
  };
}

function sliceOf(c: ModelConfig, portion: Portion, name: string): Slice | undefined {
  const part = /\.layers\.\d+\.(?:self_attn|mlp|linear_attn)\.(\w+)(?:\.(weight|bias))?$/.exec(name)?.[1];
  if (!part || name.includes("visual.")) return undefined;
  const perHead = c.headDim * (c.attention.outputGate ? 2 : 1);
  const rows = (span: Span, size: number, of: number): Slice => ({
    rows: { of: of * size, spans: [times(span, size)] },
  });
  const columns = (span: Span, size: number, of: number): Slice => ({
    columns: { of: of * size, spans: [times(span, size)] },
  });
  switch (part) {
    case "q_proj":
      return rows(portion.heads, perHead, c.heads);
    case "k_proj":
    case "v_proj":
      return rows(portion.kvHeads, c.headDim, c.kvHeads);
    case "o_proj":
      return name.endsWith("bias") ? undefined : columns(portion.heads, c.headDim, c.heads);
    case "gate_proj":
    case "up_proj":
      return rows(portion.units, 1, c.intermediate);
    case "down_proj":
      return columns(portion.units, 1, c.intermediate);
    default:
      return c.delta && deltaSlice(c.delta, portion.delta!, part);
  }
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

/**
 * Value heads, counted key head by key head, where the checkpoint has them: there too, or in rounds, each with one of
 * every key head.
 */
function valueSpans({ order, keyHeads, valueHeads }: DeltaSettings, counted: Span): Span[] {
  if (order === "grouped") return [counted];
  const group = valueHeads / keyHeads;
  const numbers = Array.from({ length: length(counted) }, (_, i) => counted.from + i);
  const places = numbers.map((n) => (n % group) * keyHeads + Math.floor(n / group)).sort((a, b) => a - b);
  return places.map((from) => ({ from, to: from + 1 }));
}
