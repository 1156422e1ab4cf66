// What `npm run bench` can measure, by name: what each takes beside it, and what it runs.
import { parseArgs } from "node:util";
import { openGpu, type Gpu } from "../engine/gpu/adapter.ts";
import { chaos } from "./chaos/main.ts";
import { formats } from "./formats.ts";
import { gateway } from "./gateway/main.ts";
import { grammar } from "./grammar.ts";
import { host } from "./hostTime.ts";
import { kernels } from "./kernels.ts";
import { load } from "./load.ts";
import { defaultModels, folderOf, models, synthFolder, type ModelOptions, type Phase } from "./models.ts";
import { parallelBench } from "./parallel.ts";
import { matmuls } from "./peers/matmuls.ts";
import { peerFolder, peerNames } from "./peers/index.ts";
import { profile } from "./profile.ts";
import { report } from "./report.ts";
import { serving } from "./serving/main.ts";
import { shapes } from "./shapes.ts";
import { synth } from "./synth.ts";
import { vision } from "./vision.ts";
import { ways } from "./ways.ts";

/** Of what is measured beside a peer. */
const leastRounds = 5;

const flags = {
  help: { type: "boolean", short: "h" },
  adapter: { type: "string" },
  only: { type: "string" },
  peer: { type: "string" },
  peers: { type: "string" },
  quant: { type: "string" },
  seconds: { type: "string" },
  faults: { type: "boolean" },
  chaos: { type: "boolean" },
  seed: { type: "string" },
  rounds: { type: "string" },
  tokens: { type: "string" },
} as const;

type Flag = Exclude<keyof typeof flags, "help">;

/** What the command line says. */
interface Asked {
  args: readonly string[];
  values: ReturnType<typeof parse>["values"];
}

interface Command {
  /** Behind its name. */
  usage: string;
  /** What else it does not take is refused. */
  flags: readonly Flag[];
  /** How many arguments it has at least, and at most; default: none. */
  args?: readonly [least: number, most: number];
  run(asked: Asked): unknown;
}

const onModels = { flags: ["adapter", "quant"], args: [0, Infinity] } as const;

export const commands: Readonly<Record<string, Command>> = {
  all: {
    ...onModels,
    usage:
      "[MODEL …] [--quant TYPE]               (what is run without a command) kernels, decode, prefill and load",
    run: (asked) =>
      onGpu(asked, async (gpu) => {
        await kernels(gpu);
        await modelsOf(gpu, asked, optionsOf(asked, ["decode", "prefill"]));
        await loads(gpu, asked);
      }),
  },
  kernels: {
    usage: `[--only PART] | --peer onnxruntime-node [--only f32|f16|q4|q4_i8] [--rounds N]`,
    flags: ["adapter", "only", "peer", "rounds"],
    run: ({ values }) => {
      const { peer, only } = values;
      if (peer === undefined && values.rounds !== undefined)
        throw new Error("--rounds: only beside a --peer");
      const rounds = roundsOf({ values });
      return onGpu({ values }, (gpu): Promise<unknown> => {
        return peer === undefined ? kernels(gpu, only) : matmuls(gpu, { peer, only, rounds });
      });
    },
  },
  decode: phase("decode"),
  prefill: phase("prefill"),
  profile: {
    usage:
      "[MODEL …] [--quant TYPE] [--tokens N] [--rounds N]   a token, or a prompt of N, dispatch by dispatch",
    flags: [...onModels.flags, "tokens", "rounds"],
    args: onModels.args,
    run: (asked) =>
      onGpu(asked, async (gpu) => {
        const { quant } = asked.values;
        const counts = { tokens: tokensOf(asked), rounds: whole("rounds", asked.values, 5) };
        for (const model of wanted(asked)) await profile(gpu, model, { quant, ...counts });
      }),
  },
  host: {
    usage: "[SHAPE …]   what a decoded token costs JS, on a device that does nothing",
    flags: [],
    args: onModels.args,
    run: ({ args }) => host(args.length > 0 ? args : Object.keys(shapes)),
  },
  ways: {
    usage:
      "[SHAPE …] [--quant TYPE]   whether all that a device may choose from agrees, at these shapes' widths",
    flags: ["adapter", "quant"],
    args: onModels.args,
    run: (asked) => {
      const { args, values } = asked;
      return onGpu(asked, (gpu) => ways(gpu, args.length > 0 ? args : Object.keys(shapes), values.quant));
    },
  },
  load: {
    ...onModels,
    usage: "[MODEL …] [--quant TYPE]",
    run: (asked) => onGpu(asked, (gpu) => loads(gpu, asked)),
  },
  report: {
    usage: "                     README's table and plot, from bench/results",
    flags: [],
    run: () => report(),
  },
  formats: {
    usage: "[FOLDER]",
    flags: ["adapter"],
    args: [0, 1],
    run: (asked) => onGpu(asked, (gpu) => formats(gpu, asked.args[0])),
  },
  vision: {
    usage: "                     the vision tower, for pictures of three sizes",
    flags: ["adapter"],
    run: (asked) => onGpu(asked, vision),
  },
  grammar: { usage: "FOLDER", flags: [], args: [1, 1], run: ({ args: [folder] }) => grammar(folder!) },
  gateway: {
    usage: "[--peers FOLDER]   (with node_modules/@portkey-ai/gateway in it)",
    flags: ["peers"],
    run: ({ values: { peers } }) => gateway({ peers }),
  },
  parallel: {
    usage: `  sums over devices, and what they leave of a large model's rate
           parallel --chaos [--seconds N] [--seed N]   random faults over two parts`,
    flags: ["adapter", "chaos", "seconds", "seed"],
    run: ({ values }): Promise<unknown> => {
      const { adapter, chaos: random } = values;
      if (random)
        return chaos({ seconds: whole("seconds", values, 600), seed: whole("seed", values, 1), adapter });
      if (values.seconds ?? values.seed) throw new Error("--seconds and --seed: only with --chaos");
      return onGpu({ values }, parallelBench);
    },
  },
  serving: {
    usage: "[--seconds N] [--faults]",
    flags: ["adapter", "seconds", "faults"],
    run: ({ values }) => {
      const { faults = false, adapter } = values;
      return serving({ seconds: whole("seconds", values, 600), faults, adapter });
    },
  },
  synth: {
    usage: `SHAPE FOLDER     (${Object.keys(shapes).join(", ")})`,
    flags: [],
    args: [2, 2],
    run: async ({ args: [shape, folder] }) =>
      console.log(`${folder}: ${((await synth(shape!, folder!)) / 1e9).toFixed(2)} GB`),
  },
};

export const usage = `usage: npm run bench [-- COMMAND]; [--adapter NAME] where a device is measured
${Object.entries(commands)
  .map(([name, { usage }]) => `  ${name} ${usage}`)
  .join("\n")}
MODEL is a folder, a GGUF file or a shape, which is then written to ${synthFolder} first; without one: ${defaultModels.join(" and ")}.
Peers (${peerNames.join(", ")}) are installed by you: npm install --ignore-scripts --prefix ${peerFolder} NAME`;

function phase(name: Phase): Command {
  return {
    usage: "[MODEL …] [--quant TYPE] [--rounds N] [--tokens N] [--peer NAME]",
    flags: [...onModels.flags, "rounds", "tokens", "peer"],
    args: onModels.args,
    run: (asked) => {
      const options = optionsOf(asked, [name]);
      return onGpu(asked, (gpu) => modelsOf(gpu, asked, options));
    },
  };
}

function optionsOf(asked: Asked, phases: readonly Phase[]): ModelOptions {
  const { quant, peer } = asked.values;
  return { phases, quant, peer, tokens: tokensOf(asked), rounds: roundsOf(asked) };
}

async function modelsOf(gpu: Gpu, asked: Asked, options: ModelOptions): Promise<void> {
  for (const model of wanted(asked)) await models(gpu, model, options);
}

async function loads(gpu: Gpu, asked: Asked): Promise<void> {
  for (const model of wanted(asked)) await load(gpu, await folderOf(model), asked.values.quant);
}

function wanted({ args }: Asked): readonly string[] {
  return args.length > 0 ? args : defaultModels;
}

/** On the adapter that is asked for, as a neuron opens it: a card is measured by the autotune. */
async function onGpu(
  { values: { adapter } }: Pick<Asked, "values">,
  run: (gpu: Gpu) => Promise<unknown>,
): Promise<void> {
  const gpu = await openGpu({ adapter }, undefined, {});
  await run(gpu);
  gpu.destroy();
}

/** Errors: a ratio of too few alternations, which would stand among those of enough. */
function roundsOf({ values }: Pick<Asked, "values">): number {
  const rounds = whole("rounds", values, leastRounds);
  if (values.peer === undefined || rounds >= leastRounds) return rounds;
  throw new Error(`--rounds ${rounds}: beside a peer at least ${leastRounds}`);
}

function tokensOf({ values }: Asked): number | undefined {
  return values.tokens === undefined ? undefined : whole("tokens", values, 1);
}

/** A setting that counts. Errors: it is no whole number from 1 on. */
function whole<N extends string>(
  name: N,
  values: Readonly<Partial<Record<N, string>>>,
  usual: number,
): number {
  const given = values[name] === undefined ? usual : Number(values[name]);
  if (Number.isSafeInteger(given) && given > 0) return given;
  throw new Error(`--${name} ${values[name]}: a whole number from 1 on`);
}

/** Errors: an option that no command has, or one without its value. */
export function parse() {
  return parseArgs({ allowPositionals: true, options: flags });
}
