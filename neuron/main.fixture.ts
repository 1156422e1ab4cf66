// The command line over a fake engine: what main.ts is, without a device; FAKE_ENDLESS makes answers that do not end,
// FAKE_BUG such that fail by a mistake of ours; FAKE_SLOW a device that takes its
// time, and tells of it. Run as a process by cli.test.ts.

import { setTimeout as sleep } from "node:timers/promises";
import { run } from "./cli.ts";
import { FakeEngine, content, started } from "./fake-engine.fixture.ts";
import type { FakeModel } from "./fake-engine.fixture.ts";

async function openEngine() {
  await Promise.resolve();
  const engine = new FakeEngine();
  if (process.env["FAKE_SLOW"]) {
    process.stderr.write("opening\n");
    await sleep(500);
    const close = engine.close.bind(engine);
    engine.close = () => (process.stderr.write("closed\n"), close());
  }
  if (process.env["FAKE_ENDLESS"]) {
    (engine.next as FakeModel).script = [started, content("Hel"), new Promise(() => undefined)];
  }
  if (process.env["FAKE_BUG"]) (engine.next as FakeModel).script = [new Error("a mistake of ours")];
  return engine;
}

const code = await run(process.argv.slice(2), { env: process.env, openEngine });
process.stdout.write("", () => process.exit(code));
