// Every flag of `neuron serve`, from the command line to the setting that it means.
import { expect, test } from "vitest";
import { createProgram } from "../cli.ts";
import { neuron } from "../command.fixture.ts";
import { settings } from "./flags.ts";
import type { ServeFlags } from "./flags.ts";

function configOf(line: string) {
  let given: ServeFlags = {};
  const program = createProgram();
  program.commands.find((one) => one.name() === "serve")!.action((flags: ServeFlags) => void (given = flags));
  program.parse(["serve", ...line.split(" ").filter(Boolean)], { from: "user" });
  return settings(given, {}).config;
}

const unsaid = configOf("");

test.each<[string, object]>([
  ["--host 0.0.0.0", { host: "0.0.0.0" }],
  ["--port 5", { port: 5 }],
  ["-p 0", { port: 0 }],
  ["--device 2", { device: 2 }],
  ["-d 0,2,1", { device: [0, 2, 1] }],
  ["--adapter radeon", { adapter: "radeon" }],
  ["--model demo -m org/a", { default_models: [{ model_id: "demo" }, { model_id: "org/a" }] }],
  ["--quant q4_k", { quant: "q4_k" }],
  ["--context 512", { context_length: 512 }],
  ["--cache-dir /srv", { hub: { cache_folder: "/srv" } }],
  ["--offline", { hub: { offline: true } }],
  ["--autotune", { autotune: true }],
  ["--no-autotune", { autotune: false }],
  ["--strict", { strict: true }],
  ["--log-level warn", { log_level: "warn" }],
  ["--json", { log_format: "json" }],
  ["--tensor-parallel 2", { tensor_parallel: 2 }],
  ["--pipeline-parallel 3", { pipeline_parallel: 3 }],
  ["--device-weights 2,1.5", { weights: [2, 1.5] }],
])("%s", (line, want) => expect(configOf(line)).toEqual({ ...unsaid, ...want }));

test("every flag of serve is among those", () => {
  const serve = createProgram().commands.find((one) => one.name() === "serve")!;
  expect(serve.options.map(({ long }) => long)).toEqual([
    ...["--config", "--device", "--adapter", "--json"],
    ...["--tensor-parallel", "--pipeline-parallel", "--device-weights"],
    ...["--host", "--port", "--model", "--quant", "--context", "--cache-dir", "--offline"],
    ...["--autotune", "--no-autotune", "--strict", "--log-level"],
  ]);
});

test.each([
  ["--device-weights 2,x", "Expected numbers with commas between."],
  ["--device-weights 2,-1", "Expected numbers with commas between."],
  ["--device one", "Expected a whole number."],
  ["--device 0,", "Expected a whole number."],
  ["--context 1e3", "Expected a whole number."],
  ["--log-level loud", "Allowed choices are debug, info, warn, error, silent."],
])("%s: wrong usage", async (line, words) => {
  expect(await neuron(line.split(" "))).toMatchObject({
    ...{ code: 2, out: "" },
    err: expect.stringContaining(words),
  });
});
