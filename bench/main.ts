// npm run bench -- COMMAND: a table for people, and for machines one line of JSON at its end or a line a row in
// bench/results.
import { parseArgs } from "node:util";
import { openGpu } from "../engine/gpu/adapter.ts";
import { chaos } from "./chaos/main.ts";
import { formats } from "./formats.ts";
import { gateway } from "./gateway/main.ts";
import { grammar } from "./grammar.ts";
import { kernels } from "./kernels.ts";
import { load } from "./load.ts";
import { defaultModels, folderOf, models, synthFolder, type Phase } from "./models.ts";
import { parallelBench } from "./parallel.ts";
import { matmuls } from "./peers/matmuls.ts";
import { peerFolder, peerNames } from "./peers/index.ts";
import { profile } from "./profile.ts";
import { report } from "./report.ts";
import { serving } from "./serving/main.ts";
import { shapes } from "./shapes.ts";
import { synth } from "./synth.ts";
import { vision } from "./vision.ts";

const usage = `usage: npm run bench -- all [MODEL …] [--adapter NAME]               kernels, decode, prefill and load
       npm run bench -- kernels [--only PART] [--adapter NAME]
       npm run bench -- kernels --peer onnxruntime-node [--only f32|f16|q4] [--rounds N] [--adapter NAME]
       npm run bench -- decode|prefill [MODEL …] [--quant TYPE] [--rounds N] [--tokens N] [--peer NAME]
                                       [--adapter NAME]
       npm run bench -- profile [MODEL …] [--quant TYPE] [--tokens N] [--rounds N] [--adapter NAME]
           a token, or a prompt of N tokens, dispatch by dispatch
       npm run bench -- report                     README's table and plot, from bench/results
       npm run bench -- load PATH [--quant TYPE] [--adapter NAME]
       npm run bench -- formats [FOLDER] [--adapter NAME]
       npm run bench -- vision [--adapter NAME]
       npm run bench -- grammar FOLDER
       npm run bench -- gateway [--peers FOLDER]   (with node_modules/@portkey-ai/gateway in it)
       npm run bench -- parallel [--adapter NAME]  sums over devices, and what they leave of a large model's rate
       npm run bench -- parallel --chaos [--seconds N] [--seed N] [--adapter NAME]   random faults over two parts
       npm run bench -- serving [--seconds N] [--faults] [--adapter NAME]
       npm run bench -- synth SHAPE FOLDER     (${Object.keys(shapes).join(", ")})
MODEL is a folder, a GGUF file or a shape, which is then written to ${synthFolder} first.
Peers (${peerNames.join(", ")}) are installed by you: npm install --ignore-scripts --prefix ${peerFolder} NAME`;

const phasesOf: Readonly<Record<string, readonly Phase[]>> = {
  decode: ["decode"],
  prefill: ["prefill"],
  all: ["decode", "prefill"],
};

/** A setting that counts. Errors: it is no whole number from 1 on. */
function whole<N extends string>(name: N, values: Readonly<Partial<Record<N, string>>>): number {
  const given = Number(values[name]);
  if (Number.isSafeInteger(given) && given > 0) return given;
  throw new Error(`--${name} ${values[name]}: a whole number from 1 on`);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      adapter: { type: "string" },
      only: { type: "string" },
      peer: { type: "string" },
      peers: { type: "string" },
      quant: { type: "string" },
      seconds: { type: "string", default: "600" },
      faults: { type: "boolean", default: false },
      chaos: { type: "boolean", default: false },
      seed: { type: "string", default: "1" },
      rounds: { type: "string", default: "5" },
      tokens: { type: "string" },
    },
  });
  const [command, first, second] = positionals;
  const [rounds, seconds, seed] = [whole("rounds", values), whole("seconds", values), whole("seed", values)];
  const tokens = values.tokens === undefined ? undefined : whole("tokens", values);
  if (command === "report") return report();
  if (command === "synth" && first && second) {
    console.log(`${second}: ${((await synth(first, second)) / 1e9).toFixed(2)} GB`);
    return;
  }
  if (command === "grammar" && first) return grammar(first);
  if (command === "gateway") {
    await gateway({ peers: values.peers });
    return;
  }
  const { faults, adapter } = values;
  if (command === "serving") return serving({ seconds, faults, adapter });
  if (command === "parallel" && values.chaos) return chaos({ seconds, seed, adapter });
  const phases = phasesOf[command ?? ""] ?? [];
  const alone = ["vision", "formats", "parallel"].includes(command ?? "") || (command === "load" && first);
  const known = alone || phases.length > 0 || command === "kernels" || command === "profile";
  if (!known) throw new Error(usage);
  const gpu = await openGpu({ adapter: values.adapter }, undefined, {}); // as a neuron opens it: a card is measured
  const wanted = positionals.length > 1 ? positionals.slice(1) : defaultModels;
  const { quant, peer } = values;
  if (command === "kernels" && peer) await matmuls(gpu, { peer, only: values.only, rounds });
  else if (command === "kernels" || command === "all") await kernels(gpu, values.only);
  for (const model of phases.length > 0 ? wanted : [])
    await models(gpu, model, { phases, rounds, tokens, quant, peer });
  for (const model of command === "profile" ? wanted : [])
    await profile(gpu, model, { quant, tokens, rounds });
  for (const model of command === "all" ? wanted : []) await load(gpu, await folderOf(model), quant);
  if (command === "vision") await vision(gpu);
  else if (command === "formats") await formats(gpu, first);
  else if (command === "parallel") await parallelBench(gpu);
  else if (command === "load") await load(gpu, first!, quant);
  gpu.destroy();
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
