// A process whose device thread hears nothing any more: it recovers, says so, and can still end.
import { demoModel } from "../../test-fixtures/golden.ts";
import { openEngine } from "./engine.ts";

const adapter = process.env["NEURON_TEST_ADAPTER"];
const engine = await openEngine({ adapter, faults: "stuck@decode:2", stepLimitMs: 6000 });
const model = await engine.load(demoModel, { contextLength: 256, maxInFlight: 1 });

async function ask(): Promise<string> {
  let text = "";
  const options = { temperature: 0, maxTokens: 8 };
  for await (const event of model.complete({ prompt: "Once upon", options }, new AbortController().signal))
    if (event.type === "content") text += event.text;
  return text;
}

const failure = await ask().then(
  () => "answered",
  (error: Error) => error.message,
);
console.log(JSON.stringify({ failure }));
await engine.settled();
console.log(JSON.stringify({ health: engine.health, same: (await ask()) === (await ask()) }));
await engine.close();
process.exit(0);
