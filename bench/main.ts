// npm run bench -- COMMAND: a table for people, and as its last line one of JSON for bench/results.
import { parseArgs } from "node:util";
import { openGpu } from "../engine/gpu/adapter.ts";
import { formats } from "./formats.ts";
import { gateway } from "./gateway/main.ts";
import { grammar } from "./grammar.ts";
import { kernels } from "./kernels.ts";
import { load } from "./load.ts";
import { models, printModels } from "./models.ts";
import { serving } from "./serving/main.ts";
import { shapes } from "./shapes.ts";
import { synth } from "./synth.ts";
import { vision } from "./vision.ts";

const usage = `usage: npm run bench -- kernels [--adapter NAME]
       npm run bench -- models FOLDER [--adapter NAME]
       npm run bench -- load PATH [--quant TYPE] [--adapter NAME]
       npm run bench -- formats [FOLDER] [--adapter NAME]
       npm run bench -- vision [--adapter NAME]
       npm run bench -- grammar FOLDER
       npm run bench -- gateway [--peers FOLDER]   (with node_modules/@portkey-ai/gateway in it)
       npm run bench -- serving [--seconds N] [--adapter NAME]
       npm run bench -- synth SHAPE FOLDER     (${Object.keys(shapes).join(", ")})`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      adapter: { type: "string" },
      seconds: { type: "string", default: "600" },
      peers: { type: "string" },
      quant: { type: "string" },
    },
  });
  const [command, first, second] = positionals;
  if (command === "synth" && first && second) {
    console.log(`${second}: ${((await synth(first, second)) / 1e9).toFixed(2)} GB`);
    return;
  }
  if (command === "grammar" && first) return grammar(first);
  if (command === "serving") return serving({ seconds: Number(values.seconds), adapter: values.adapter });
  if (command === "gateway") {
    console.log(JSON.stringify(await gateway({ peers: values.peers })));
    return;
  }
  const named = (command === "models" || command === "load") && first;
  if (command !== "kernels" && command !== "vision" && command !== "formats" && !named)
    throw new Error(usage);
  const gpu = await openGpu({ adapter: values.adapter });
  if (command === "kernels") await kernels(gpu);
  else if (command === "vision") await vision(gpu);
  else if (command === "formats") await formats(gpu, first);
  else if (command === "load") await load(gpu, first!, values.quant);
  else printModels(gpu, await models(gpu, first!));
  gpu.destroy();
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
