// Holding this engine against a reference's numbers: every case, cut in every way that serving may cut it.
import type { Gpu } from "../gpu/adapter.ts";
import { EngineError } from "../errors.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import { parseConfig } from "../models/config.ts";
import type { KvFormat } from "../ops/kv-cache.ts";
import { argmax, argmaxAgreement, difference, greedyAgreement } from "./compare.ts";
import type { Difference, GreedyAgreement } from "./compare.ts";
import { readCases, readGolden, type GoldenCase, type GoldenTensor, type Tolerances } from "./golden.ts";
import { loadVision, type Vision } from "../serve/vision.ts";
import { asRead } from "./memory.ts";
import { pixelBound, runPictures } from "./pictures.ts";
import { checkSameModel } from "./sameModel.ts";
import { Team, type Spread } from "./spread.ts";
import type { Piece, Trace } from "./trace.ts";

/** The strictest first. */
export const modes = ["f32", "bf16", "bytes"] as const;

export interface VerifyOptions {
  /**
   * Which tolerances of meta.json judge: f32 for an exact checkpoint, bf16 for a converted or quantised one. bytes: twice
   * those of bf16, for activations of 8 bits.
   */
  mode: (typeof modes)[number];
  /** Names of the cases to run; all if absent. */
  cases?: readonly string[];
  /** Another form of the same model, such as a GGUF file; the folder's own if absent. */
  weights?: string;
  /** As LoadOptions.quant. */
  quant?: string;
  /** As LoadOptions.kvCache. */
  kvCache?: KvFormat;
  /** As if it were spread over several devices: each part is computed by itself, on this one. Default: whole. */
  spread?: Spread;
  /** Default: all. */
  cuts?: readonly Cut[];
}

/**
 * How the prompt is cut: in one run, in runs of an odd size, through the decode plan token by token, so in runs which
 * other sequences share, or with its first part taken over from another sequence.
 */
const cuts = {
  whole: Infinity,
  chunks: 37,
  "token by token": 1,
  "among others": "shared",
  "with cache": "cached",
} as const;
export type Cut = keyof typeof cuts;
const allCuts = Object.keys(cuts) as Cut[];

export interface CutReport {
  cut: Cut;
  logits: Difference;
  /** Positions whose likeliest token is the reference's, of all. */
  argmax: { agree: number; positions: number };
  greedy: GreedyAgreement;
  /** By the golden's own names. */
  intermediates: Record<string, Difference>;
  passed: boolean;
  /** What failed, with figure and bound. */
  failures: string[];
}

export interface CaseReport {
  name: string;
  promptTokens: number;
  passed: boolean;
  /** Why the case could not be run. */
  notRun?: string;
  cuts: CutReport[];
}

/** Runs the cases one by one. Errors: as loading; bad_checkpoint for damaged goldens; bad_request for another model. */
export async function* verifyFolder(
  gpu: Gpu,
  folder: string,
  options: VerifyOptions,
): AsyncGenerator<CaseReport> {
  const { cases, tolerance } = await readCases(folder);
  const chosen = choose(cases, options.cases);
  const checkpoint = await openCheckpoint(options.weights ?? folder, options.quant);
  let team: Team | undefined;
  let vision: Vision | undefined;
  try {
    const config = parseConfig(checkpoint.config, checkpoint.configFile);
    if (options.weights !== undefined) await checkSameModel(folder, options.weights, config);
    const longest = Math.max(...chosen.map((one) => one.input_ids.length + one.greedy_ids.length));
    const { kvCache, spread } = options;
    team = await Team.create(gpu, checkpoint, config, { capacity: longest, kvCache, spread });
    if (chosen.some(({ images }) => images.length > 0)) {
      const visionOptions = { contextLength: longest, flopsPerSubmit: 2e10, cacheBytes: 0, keep: true };
      vision = await loadVision(gpu, checkpoint, team.loader, config, visionOptions);
    }
    await team.fill();
    for (const one of chosen) yield await verifyCase(team, vision, folder, one, tolerance, options);
  } finally {
    vision?.destroy();
    team?.destroy();
    await checkpoint.close();
  }
}

function choose(cases: readonly GoldenCase[], names: readonly string[] | undefined): readonly GoldenCase[] {
  if (!names || names.length === 0) return cases;
  const known = cases.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown) throw new EngineError("bad_request", `no case ${unknown}; there are ${known.join(", ")}`);
  return cases.filter(({ name }) => names.includes(name));
}

async function verifyCase(
  team: Team,
  vision: Vision | undefined,
  folder: string,
  one: GoldenCase,
  tolerance: Tolerances,
  { mode, cuts: chosen = allCuts }: VerifyOptions,
): Promise<CaseReport> {
  const base = { name: one.name, promptTokens: one.input_ids.length };
  if (one.images.length > 0 && !vision) {
    return { ...base, passed: false, notRun: "it has pictures, and the model no vision tower", cuts: [] };
  }
  const golden = await readGolden(folder, one);
  const pictures =
    vision && one.images.length > 0 ? await runPictures(team.leader.gpu, vision, folder, one) : undefined;
  const reports: CutReport[] = [];
  try {
    for (const cut of chosen) {
      team.reset();
      const trace = await team.feed(one.input_ids, cuts[cut], pictures?.fed);
      const memory = await team.memory(one.input_ids.length);
      const greedy = await continueGreedily(
        team,
        trace.get("logits")!,
        one.greedy_ids.length,
        cut === "among others" ? "shared" : 1,
      );
      const all = new Map([...(pictures?.trace ?? []), ...trace, ...memory]);
      reports.push(judge(cut, one, golden, all, greedy, tolerance, mode));
    }
  } finally {
    pictures?.free();
  }
  return { ...base, passed: reports.every(({ passed }) => passed), cuts: reports };
}

/** Draws the likeliest token, feeds it, and so on, `steps` times; returns the ids. */
async function continueGreedily(
  team: Team,
  logits: Float32Array,
  steps: number,
  piece: Piece,
): Promise<number[]> {
  const ids: number[] = [];
  let row = logits.subarray(logits.length - team.leader.vocab);
  while (ids.length < steps) {
    ids.push(argmax(row));
    if (ids.length < steps) row = (await team.feed([ids.at(-1)!], piece)).get("logits")!;
  }
  return ids;
}

function judge(
  cut: Cut,
  one: GoldenCase,
  golden: ReadonlyMap<string, GoldenTensor>,
  trace: Trace,
  greedyIds: readonly number[],
  tolerance: Tolerances,
  mode: VerifyOptions["mode"],
): CutReport {
  const expected = required(golden, "logits", one);
  checkSize(one, "logits", expected, trace.get("logits")!);
  const logits = difference(trace.get("logits")!, expected.data);
  const width = expected.shape.at(-1)!;
  const intermediates: Record<string, Difference> = {};
  for (const [name, values] of trace) {
    const reference = golden.get(name);
    if (!reference || name === "logits") continue;
    const read = asRead(name, reference);
    checkSize(one, name, read, values);
    intermediates[name] = difference(values, read.data);
  }
  const steps = one.greedy_ids.length > 0 ? required(golden, "greedy.logits", one).data : new Float32Array(0);
  const greedy = greedyAgreement(greedyIds, one.greedy_ids, steps);
  const failures = failuresOf({ logits, greedy, intermediates }, tolerance, mode);
  return {
    cut,
    logits,
    argmax: {
      agree: argmaxAgreement(trace.get("logits")!, expected.data, width),
      positions: expected.shape[0]!,
    },
    greedy,
    intermediates,
    passed: failures.length === 0,
    failures,
  };
}

function failuresOf(
  { logits, greedy, intermediates }: Pick<CutReport, "logits" | "greedy" | "intermediates">,
  tolerance: Tolerances,
  mode: VerifyOptions["mode"],
): string[] {
  const failures: string[] = [];
  const times = mode === "bytes" ? 2 : 1;
  const bound = (what: string, value: number, one: number | undefined) => {
    const most = times * (one ?? NaN);
    if (one === undefined) failures.push(`meta.json gives no bound for ${what} in ${mode}`);
    else if (!(value <= most)) failures.push(`${what} ${value.toExponential(2)} > ${most.toExponential(2)}`);
  };
  if (mode === "f32") bound("max |Δ logits|", logits.maxAbs, tolerance.f32_engine_logits_max_abs);
  else bound("relative rms of logits", logits.relativeRms, tolerance.bf16_engine_logits_rel_rms);
  if (greedy.gap !== undefined) {
    const most = mode === "f32" ? tolerance.f32_greedy_gap : tolerance.bf16_greedy_gap;
    bound(`greedy gap at token ${greedy.agreed + 1}`, greedy.gap, most);
  }
  const { pixel_values: pixels, "vision.merged": merged } = intermediates;
  if (pixels) bound("pixel_values", pixels.maxAbs, pixelBound);
  if (merged && mode !== "f32") {
    bound("relative rms of vision.merged", merged.relativeRms, tolerance.bf16_vision_merged_rel_rms);
  }
  if (mode === "f32" && tolerance.f32_delta_state_max_abs !== undefined) {
    for (const [name, { maxAbs }] of Object.entries(intermediates)) {
      if (name.endsWith("delta_state")) bound(name, maxAbs, tolerance.f32_delta_state_max_abs);
    }
  }
  return failures;
}

/** Errors: bad_checkpoint when the reference is of another model. */
function checkSize(
  { golden }: GoldenCase,
  name: string,
  { shape, data }: GoldenTensor,
  ours: Float32Array,
): void {
  if (ours.length === data.length) return;
  const sizes = `${name} is [${shape.join(", ")}] (${data.length} values), and this model makes ${ours.length}`;
  throw new EngineError("bad_checkpoint", `${golden} is not of this model: ${sizes}`);
}

function required(golden: ReadonlyMap<string, GoldenTensor>, name: string, one: GoldenCase): GoldenTensor {
  const tensor = golden.get(name);
  if (!tensor) throw new EngineError("bad_checkpoint", `${one.golden} has no f32 tensor ${name}`);
  return tensor;
}
