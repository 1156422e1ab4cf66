// The process of one peer: opens what its argument says, runs what it is told, ends when the bench lets go of it.
import { openDoppler } from "./doppler.ts";
import type { Answer, Opening, Order, Peer } from "./index.ts";
import { openLlamaCpp } from "./llamaCpp.ts";
import { openMatmul, openOnnxruntime } from "./onnxruntime.ts";

const models: Readonly<Record<string, (folder: string, quant: string | undefined) => Promise<Peer>>> = {
  "node-llama-cpp": openLlamaCpp,
  "doppler-gpu": openDoppler,
  "onnxruntime-node": openOnnxruntime,
};

async function open(opening: Opening): Promise<Peer> {
  if (opening.what === "model") return models[opening.peer]!(opening.folder, opening.quant);
  const { peer, folder, format, pairs, rows } = opening;
  if (peer !== "onnxruntime-node")
    throw new Error(`${peer} runs no single products: --peer onnxruntime-node`);
  return openMatmul(folder, format, pairs, rows);
}

function say(answer: Answer): void {
  process.send!(answer);
}

async function main(): Promise<void> {
  const peer = await open(JSON.parse(process.argv[2]!) as Opening);
  process.on("message", ({ phase, tokens }: Order) => {
    peer.run(phase, tokens).then((ms) => say({ ms }), fail);
  });
  process.once("disconnect", () => {
    void peer.close().finally(() => process.exit());
  });
  say({ name: peer.name });
}

function fail(error: unknown): void {
  say({ error: error instanceof Error ? error.message : String(error) });
}

main().catch((error: unknown) => {
  fail(error);
  process.disconnect();
});
