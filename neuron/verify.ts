// `neuron verify DIR`: holds this engine, on this adapter, against a reference's numbers. DIR is a model folder with
// inputs.json, meta.json and golden/ beside the weights.
import { EngineError, openGpu, prepareAdapter, verifyEveryWay, verifyFolder } from "../engine/index.ts";
import type { CaseReport, CutReport, Difference, Gpu, VerifyOptions } from "../engine/index.ts";
import { colour } from "../kit/colour.ts";

export interface VerifySettings {
  adapter?: string;
  /** One; named more than once, the model is spread over so many parts, all of them there. */
  devices?: readonly number[];
  /** How, where they are several; default: a part of every layer on each, all the same. */
  spread?: SpreadSettings;
  json?: boolean;
  mode?: VerifyOptions["mode"];
  cases?: readonly string[];
  weights?: string;
  quant?: string;
  kvCache?: VerifyOptions["kvCache"];
  /** By the strict mode's kernels. */
  strict?: boolean;
  /** By those that suit the device, which is found out where it is not known; default: by the engine's guesses. */
  autotune?: boolean;
  /** By each of the ways that the device has, in turn. */
  everyWay?: boolean;
  /** GpuOptions.shaderChecks */
  shaderChecks?: boolean | undefined;
}

interface SpreadSettings {
  tensorParallel?: number | undefined;
  pipelineParallel?: number | undefined;
  weights?: readonly number[] | undefined;
}

type Print = (line: string) => void;

/** Prints a report as it grows; true if every case passed. */
export async function verify(
  folder: string,
  settings: VerifySettings,
  print: Print = console.log,
): Promise<boolean> {
  const gpu = await open(settings);
  try {
    const say = settings.json ? () => undefined : print;
    say(`${folder} on ${gpu.report.name} (${gpu.report.kind})`);
    const options = optionsOf(settings);
    const cases = settings.everyWay
      ? await everyWay(gpu, folder, options, say)
      : await told(verifyFolder(gpu, folder, options), say);
    const good = cases.filter((report) => report.passed).length;
    const passed = good > 0 && good === cases.length;
    const verdict = passed
      ? colour.green(`pass: ${good} of ${cases.length} cases`)
      : colour.red(`FAIL: ${good} of ${cases.length} cases pass`);
    const all = { folder, adapter: gpu.report.name, mode: options.mode, passed, cases };
    print(settings.json ? JSON.stringify(all) : verdict);
    return passed;
  } finally {
    gpu.destroy();
  }
}

/** All reports, said one by one as they come. */
async function told(reports: AsyncIterable<CaseReport>, say: Print): Promise<CaseReport[]> {
  const all: CaseReport[] = [];
  for await (const report of reports) {
    all.push(report);
    for (const line of formatCase(report)) say(line);
  }
  return all;
}

/** A case of one round of verifyEveryWay. */
type WayReport = Partial<CaseReport> & { ways: Readonly<Record<string, string>>; passed: boolean };

/** Round by round. One in which something fails to compile or to load is a failed case without a name. */
async function everyWay(gpu: Gpu, folder: string, options: VerifyOptions, say: Print): Promise<WayReport[]> {
  const all: WayReport[] = [];
  for await (const { ways, mode, reports } of verifyEveryWay(gpu, folder, options)) {
    const names = Object.entries(ways).map(([kernel, way]) => `${kernel}: ${way}`);
    say(`\n${names.join("; ") || "as the engine guesses"} (bounds of ${mode})`); // before it may end the process
    try {
      for (const report of await told(reports, say)) all.push({ ...report, ways });
    } catch (error) {
      if (names.length === 0) throw error;
      const notRun = (error as Error).message;
      say(colour.red(`not run: ${notRun}`));
      all.push({ ways, passed: false, notRun });
    }
  }
  return all;
}

async function open({
  adapter,
  devices = [],
  strict = false,
  autotune = false,
  everyWay: all = false,
  shaderChecks,
}: VerifySettings): Promise<Gpu> {
  if (all && (strict || autotune))
    throw new EngineError(
      "bad_request",
      `--every-way and ${strict ? "strict" : "autotune"}: one or the other`,
    );
  const tuning = strict || autotune ? { strict, autotune } : undefined;
  const choice = await prepareAdapter({ adapter, device: theOne(devices), shaderChecks });
  return openGpu(choice, undefined, tuning);
}

function optionsOf(settings: VerifySettings): VerifyOptions {
  const { mode = "f32", cases = [], weights, quant, kvCache, devices = [] } = settings;
  const spread = spreadOver(devices.length, settings.spread);
  const form = {
    ...(weights === undefined ? {} : { weights }),
    ...(quant === undefined ? {} : { quant }),
    ...(kvCache === undefined ? {} : { kvCache }),
  };
  return { mode, cases, ...form, ...(spread && { spread }) };
}

/** Errors: bad_request for several. */
function theOne(devices: readonly number[]): number | undefined {
  if (new Set(devices).size <= 1) return devices[0];
  const text = `devices ${devices.join(", ")}: parts are verified on one device, named as often as there are parts`;
  throw new EngineError("bad_request", text, { param: "device" });
}

/** Undefined: one device has all. Errors: bad_request where the numbers do not fit. */
function spreadOver(
  devices: number,
  { tensorParallel, pipelineParallel, weights }: SpreadSettings = {},
): VerifyOptions["spread"] {
  if (tensorParallel !== undefined && pipelineParallel !== undefined)
    throw new EngineError("bad_request", "tensor_parallel and pipeline_parallel: one or the other");
  const asked = tensorParallel ?? pipelineParallel;
  const parts = asked ?? devices;
  if (devices > 1 && asked !== undefined && asked !== devices)
    throw new EngineError("bad_request", `${asked} parts, and ${devices} devices named`);
  if (weights && weights.length !== parts)
    throw new EngineError("bad_request", `weights: ${weights.length} for ${parts} parts`);
  if (parts < 2) return undefined;
  const by = pipelineParallel === undefined ? "tensor" : "pipeline";
  return { by, weights: weights ?? Array.from({ length: parts }, () => 1) };
}

/** The lines of a case, one a cut and one an intermediate whose error is the largest of its kind. */
function formatCase(report: CaseReport): string[] {
  const head = `${report.name} (${report.promptTokens} tokens)`;
  if (report.notRun !== undefined) return [`${head}: ${colour.red("not run")}: ${report.notRun}`];
  return [head, ...report.cuts.flatMap(formatCut)];
}

function formatCut(report: CutReport): string[] {
  const { logits, argmax, greedy } = report;
  const verdict = report.passed ? colour.green("pass") : colour.red(`FAIL: ${report.failures.join("; ")}`);
  const continued = greedy.total === 0 ? "" : `  greedy ${greedy.agreed}/${greedy.total}`;
  const lines = [
    `  ${report.cut.padEnd(14)} logits ${figures(logits)}  argmax ${argmax.agree}/${argmax.positions}${continued}  ${verdict}`,
  ];
  for (const [kind, [name, worst, count]] of worstOfKinds(report.intermediates)) {
    lines.push(`      ${kind.padEnd(22)} ${figures(worst)}  (worst of ${count}: ${name})`);
  }
  return lines;
}

/** `layer.3.attn.o_proj_in` and its like on other layers are one kind. */
function worstOfKinds(all: Record<string, Difference>): Map<string, [string, Difference, number]> {
  const kinds = new Map<string, [string, Difference, number]>();
  for (const [name, difference] of Object.entries(all)) {
    const kind = name.replace(/\.\d+/g, "");
    const [worstName, worst, count] = kinds.get(kind) ?? [name, difference, 0];
    if (difference.maxAbs > worst.maxAbs) kinds.set(kind, [name, difference, count + 1]);
    else kinds.set(kind, [worstName, worst, count + 1]);
  }
  return kinds;
}

function figures({ maxAbs, meanAbs, cosine }: Difference): string {
  return `max ${maxAbs.toExponential(2)}  mean ${meanAbs.toExponential(2)}  cos ${cosine.toFixed(9)}`;
}
