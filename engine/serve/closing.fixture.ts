// A process that ends while a model is on its way onto two devices: in the last phase of the load, or with
// CLOSING=all in each.
import { demoModel } from "../../test-fixtures/golden.ts";
import { prepareAdapter } from "../gpu/adapter.ts";
import { openEngine } from "./engine.ts";
import type { LoadProgress } from "./types.ts";

const adapter = process.env["NEURON_TEST_ADAPTER"];
const { index } = await prepareAdapter({ adapter });

async function endIn(last: LoadProgress["phase"], tensorParallel: 1 | 2): Promise<void> {
  const engine = await openEngine({ devices: [index, index] });
  const options = { contextLength: 256, maxInFlight: 1, tensorParallel };
  let close: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => (close = resolve));
  const loading = engine.load(demoModel, options, ({ phase }) => {
    if (phase === last) close();
  });
  const outcome = loading.then(
    () => "loaded",
    (error: { code?: string }) => error.code,
  );
  await Promise.race([reached, outcome]);
  await engine.close();
  console.log(JSON.stringify({ last, tensorParallel, outcome: await outcome }));
}

await endIn("warming", 2);
if (process.env["CLOSING"] === "all") {
  await endIn("reading", 2);
  await endIn("compiling", 2);
  await endIn("warming", 1);
}
process.exit(0);
