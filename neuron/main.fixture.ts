// The command line over a fake engine: what main.ts is, without a device; FAKE_ENDLESS makes answers that do not end,
// FAKE_BUG such that fail by a mistake of ours. Run as a process by cli.test.ts.

import { run } from "./cli.ts";
import { FakeEngine, content, started } from "./fake-engine.fixture.ts";
import type { FakeModel } from "./fake-engine.fixture.ts";

async function openEngine() {
  await Promise.resolve();
  const engine = new FakeEngine();
  if (process.env["FAKE_ENDLESS"]) {
    (engine.next as FakeModel).script = [started, content("Hel"), new Promise(() => undefined)];
  }
  if (process.env["FAKE_BUG"]) (engine.next as FakeModel).script = [new Error("a mistake of ours")];
  return engine;
}

const code = await run(process.argv.slice(2), { env: process.env, openEngine });
process.stdout.write("", () => process.exit(code));
