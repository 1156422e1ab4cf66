// What a model occupies on its device, to the byte, before anything is allocated there: weights, the pages of the KV
// cache, states, and what they are used with. Everything is a function of three numbers, context length, pages and
// snapshots; planning is finding the largest that fit.
import { EngineError } from "../errors.ts";
import type { DeviceMemory } from "../gpu/memory.ts";
import type { ModelConfig } from "../models/config.ts";
import { deltaStateBytes } from "../ops/delta-state.ts";
import { PAGE, pagesFor } from "./pages.ts";
import type { MemoryBudget, MemoryPart, MemoryPlan } from "./types.ts";

export type { MemoryBudget, MemoryPart, MemoryPlan };

export interface PlanRequest {
  /** For messages. */
  model: string;
  config: Pick<ModelConfig, "layerTypes" | "kvHeads" | "headDim" | "maxPositions" | "rope" | "delta">;
  weightBytes: number;
  scratchBytes: number;
  stagingBytes: number;
  /** The most that embeddings of pictures may have; 0 for a model without eyes. */
  pictureBytes: number;
  /** Sequences at once. */
  slots: number;
  /** Tokens of a sequence; must fit. undefined: as many as fit, up to defaultContext and the checkpoint's own. */
  contextLength: number | undefined;
  defaultContext: number;
  /** Tokens of all sequences together, and of the prefix cache; undefined: a full context for every slot. */
  cacheTokens: number | undefined;
  /** The most that a hybrid may have for saved states. */
  snapshotBytes: number;
  /** Of one head's key, or value, of one token. */
  headBytes: number;
  /** The most bytes of one binding of the device. */
  maxBinding: number;
  /** undefined: nobody knows, and nothing is refused for it. */
  budget: MemoryBudget | undefined;
}

/** What a plan decides. */
export type Amounts = Pick<MemoryPlan, "contextLength" | "pages" | "snapshots">;

/** A context below this is of no use to anybody, unless it is what was asked for. */
const leastContext = 1024;
/** Of what is left behind one full context, the share that saved states may take from the pages of other sequences. */
const snapshotShare = 1 / 4;

/**
 * What may be used of a device: as configured, else what is free less a margin for the driver and the display. The
 * models that are there keep what they were `promised`, bytes, though they may not have used all of it yet.
 */
export function budgetOf(
  memory: DeviceMemory | undefined,
  configuredMb: number | undefined,
  promised = 0,
): MemoryBudget | undefined {
  const others = promised > 0 ? `, ${readable(promised)} promised to other models` : "";
  if (configuredMb !== undefined) {
    const source = `the configured limit of ${readable(configuredMb * mib)}${others}`;
    return { bytes: Math.max(0, configuredMb * mib - promised), source };
  }
  if (!memory) return undefined;
  const { totalMb, usedMb } = memory;
  const marginMb = Math.max(256, Math.ceil(totalMb / 20));
  const taken = Math.max(usedMb * mib, promised);
  const figures = [totalMb, usedMb, marginMb].map((mb) => readable(mb * mib));
  const source = `device memory of ${figures[0]}, ${figures[1]} used${others}, ${figures[2]} left to others`;
  return { bytes: Math.max(0, (totalMb - marginMb) * mib - taken), source };
}

/** Bytes of a page of the KV cache, all attention layers together. */
export function pageBytes({ config, headBytes }: Pick<PlanRequest, "config" | "headBytes">): number {
  return 2 * layersOf(config, "full_attention") * config.kvHeads * PAGE * headBytes;
}

/** Bytes of a sequence's state, all delta-net layers together; 0 where there are none. */
export function stateBytes(config: PlanRequest["config"]): number {
  return config.delta ? layersOf(config, "linear_attention") * deltaStateBytes(config.delta) : 0;
}

/** Errors: out_of_memory with the arithmetic; bad_request for a context that the checkpoint does not have. */
export function planMemory(request: PlanRequest): MemoryPlan {
  const { config, contextLength: asked, slots, budget } = request;
  if (asked !== undefined && asked > config.maxPositions) {
    const most = `the checkpoint's max_position_embeddings is ${config.maxPositions}`;
    throw new EngineError("bad_request", `context length ${asked} is too long: ${most}`);
  }
  checkStates(request);
  const most = Math.min(config.maxPositions, asked ?? request.defaultContext);
  const fits = (amounts: Amounts) => total(partsOf(request, amounts)) <= (budget?.bytes ?? Infinity);
  const alone = (pages: number): Amounts => ({
    ...{ contextLength: Math.min(most, pages * PAGE), pages, snapshots: 0 },
  });
  const bindable = bindablePages(request);
  const needed = pagesFor(asked ?? Math.min(most, leastContext));
  const own = largest(0, Math.min(bindable, pagesFor(most)), (pages) => fits(alone(pages)));
  if (own < needed) throw refusal(request, alone(needed), bindable);
  const { contextLength } = alone(own);
  const snapshots = snapshotsIn(request, alone(own));
  const wanted = Math.max(
    own,
    request.cacheTokens === undefined ? slots * own : pagesFor(request.cacheTokens),
  );
  const pages = largest(own, Math.min(bindable, wanted), (n) => fits({ contextLength, pages: n, snapshots }));
  return planOf(request, { contextLength, pages, snapshots });
}

/** The plan with these amounts, whether it fits or not. */
export function planOf(request: PlanRequest, amounts: Amounts): MemoryPlan {
  const parts = partsOf(request, amounts);
  const { model, slots, budget } = request;
  return {
    ...{ model, ...amounts, slots, pagesPerSequence: pagesFor(amounts.contextLength) },
    ...{ parts, totalBytes: total(parts), budget },
  };
}

/** The plan as a table, a line each: for a person, and for the log of a load. */
export function planLines({ model, parts, totalBytes, contextLength, slots, budget }: MemoryPlan): string[] {
  const rows = [...parts, { what: "total", bytes: totalBytes, detail: budgetText(budget) }];
  const lines = rows.map(({ what, bytes, detail }) => {
    const exact = bytes.toLocaleString("en-US").padStart(17);
    return `  ${what.padEnd(10)}${readable(bytes).padStart(11)}${exact}  ${detail}`.trimEnd();
  });
  const held = `${slots} ${slots === 1 ? "sequence" : "sequences"} at once`;
  return [`memory of ${model}: a context of ${contextLength} tokens, ${held}`, ...lines];
}

/** In the largest binary unit of which it has at least one. */
export function readable(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return power === 0 ? `${bytes} bytes` : `${(bytes / 2 ** (10 * power)).toFixed(2)} ${units[power]}`;
}

const mib = 2 ** 20;

function partsOf(request: PlanRequest, { contextLength, pages, snapshots }: Amounts): MemoryPart[] {
  const { config, slots, weightBytes, scratchBytes, stagingBytes, pictureBytes } = request;
  const [page, state] = [pageBytes(request), stateBytes(config)];
  const kv = `${pages} pages × ${readable(page)} (${PAGE} tokens, ${layersOf(config, "full_attention")} layers)`;
  const each = `${readable(state)} (${layersOf(config, "linear_attention")} layers)`;
  const tables =
    allocated(contextLength * config.rope.dims * 4) + allocated(slots * pagesFor(contextLength) * 4);
  const parts: MemoryPart[] = [
    { what: "weights", bytes: weightBytes, detail: "" },
    { what: "KV cache", bytes: pages * page, detail: kv },
    { what: "states", bytes: slots * state, detail: `${slots} slots × ${each}` },
    { what: "snapshots", bytes: snapshots * state, detail: `${snapshots} slots × ${each}` },
    { what: "tables", bytes: tables, detail: "rotary angles, page table" },
    { what: "scratch", bytes: scratchBytes, detail: "activations" },
    { what: "pictures", bytes: pictureBytes, detail: "embeddings that are kept" },
    { what: "staging", bytes: stagingBytes, detail: "results on their way to the host" },
  ];
  const absent = [...(state > 0 ? [] : ["states", "snapshots"]), ...(pictureBytes > 0 ? [] : ["pictures"])];
  return parts.filter(({ what }) => !absent.includes(what));
}

function snapshotsIn(request: PlanRequest, alone: Amounts): number {
  const state = stateBytes(request.config);
  if (state === 0) return 0;
  const left = (request.budget?.bytes ?? Infinity) - total(partsOf(request, alone));
  const bindable = Math.floor(request.maxBinding / deltaStateBytes(request.config.delta!));
  return Math.min(Math.floor(Math.min(request.snapshotBytes, left * snapshotShare) / state), bindable);
}

/** Keys, and values, of a layer are one tensor each, which is bound whole. */
function bindablePages({ config, headBytes, maxBinding }: PlanRequest): number {
  return Math.floor(maxBinding / (config.kvHeads * PAGE * headBytes));
}

/** The states of a layer are one tensor as well. */
function checkStates({ model, config, slots, maxBinding }: PlanRequest): void {
  const needed = config.delta ? slots * deltaStateBytes(config.delta) : 0;
  if (needed <= maxBinding) return;
  const text = `${slots} sequences at once need ${needed} bytes of states a layer`;
  throw tooWide(`${model}: ${text}`, needed, maxBinding);
}

function tooWide(text: string, needed: number, available: number): EngineError {
  return new EngineError("out_of_memory", `${text}, and the device binds at most ${available}`, {
    needed,
    available,
  });
}

function refusal(request: PlanRequest, least: Amounts, bindable: number): EngineError {
  const { model, budget, config, headBytes, maxBinding, slots } = request;
  const tokens = `a context of ${least.contextLength} tokens`;
  if (least.pages > bindable) {
    const bytes = least.pages * config.kvHeads * PAGE * headBytes;
    return tooWide(`${model}: ${tokens} needs ${bytes} bytes of keys a layer`, bytes, maxBinding);
  }
  const parts = partsOf(request, least).filter(({ bytes }) => bytes > 0);
  const needed = total(parts);
  const available = budget!.bytes;
  const sum = parts.map(({ what, bytes }) => `${what} ${readable(bytes)}`).join(" + ");
  const text = [
    `${model} does not fit: ${tokens} and ${slots} at once take ${sum} = ${readable(needed)}`,
    `there are ${readable(available)} (${budget!.source}), ${readable(needed - available)} are missing`,
    "a shorter context, fewer sequences at once or smaller weights would need less",
  ];
  return new EngineError("out_of_memory", text.join("; "), { needed, available });
}

function budgetText(budget: MemoryBudget | undefined): string {
  return budget ? `of ${readable(budget.bytes)} (${budget.source})` : "of an unknown amount";
}

/** The largest n in from … to that is right, where all below a right one are right; `from` is taken on trust. */
function largest(from: number, to: number, right: (n: number) => boolean): number {
  let [low, high] = [from, to];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (right(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

function layersOf({ layerTypes }: PlanRequest["config"], type: ModelConfig["layerTypes"][number]): number {
  return layerTypes.filter((one) => one === type).length;
}

function total(parts: readonly MemoryPart[]): number {
  return parts.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Of a buffer (gpu/tensor.ts). Keys, values and states are whole multiples of 16 bytes by themselves. */
function allocated(bytes: number): number {
  return Math.max(16, Math.ceil(bytes / 16) * 16);
}
