// Ten thousand requests that nobody would send (`npm run test:fuzz`), a thousand of them in `npm test`: none may crash
// the gateway or its neuron, hang, be answered out of its dialect, or leave anything behind.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, onTestFinished, test, vi } from "vitest";
import { openGateway, until } from "../gateway/fixtures/gateway.fixture.ts";
import type { MockNeuron } from "../gateway/fixtures/mock-neuron.fixture.ts";
import { emptyModelFolder, startDaemon } from "../neuron/daemon.fixture.ts";
import {
  FakeEngine,
  FakeModel,
  content,
  finished,
  reasoning,
  started,
} from "../neuron/fake-engine.fixture.ts";
import { mutants } from "./fuzz.ts";
import { onslaught } from "./onslaught.ts";
import { readRecordings } from "./recordings.ts";

const seed = Number(process.env.FUZZ_SEED ?? 20261120);
const count = process.env.npm_lifecycle_event === "test:fuzz" ? 10_000 : 1000;
vi.setConfig({ testTimeout: 60_000 + count * 60 });

const paths = [
  ...["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/responses/input_tokens"],
  ...["/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings", "/v1/models", "/v1/models/demo"],
  ...["/v1/responses/resp_0", "/v1/responses/resp_0/cancel", "/v1/responses/resp_0/input_items?limit=x"],
  ...["/", "/health", "/api/fleet", "/v1/models/%ff", "/v1/nothing"],
];

test(`${count} mutants of recorded requests`, async () => {
  const model = new FakeModel({ capabilities: ["text", "vision"] });
  model.script = [started, reasoning("Hm."), content("Yes."), finished()];
  const engine = new FakeEngine();
  engine.next = model;
  const daemon = await startDaemon({ engine, load: false });
  onTestFinished(() => daemon.close());
  await daemon.models.load({ id: "demo", source: emptyModelFolder() });
  const settings = { cortex: { responses: { max_mb: 1 }, gateway: { log_level: "warn" } } };
  const neurons = { a: { url: daemon.url } as MockNeuron };
  const running = await openGateway({ neurons, ...settings });
  const { gateway } = running;
  const recordings = readRecordings();
  expect(recordings.length).toBeGreaterThan(20);

  const warm = Math.floor(count / 5);
  const all = [...mutants(recordings, paths, { count, seed })];
  const first = await onslaught(running.url, all.slice(0, warm), 8);
  const before = heapAfter(model);
  const rest = await onslaught(running.url, all.slice(warm), 8);
  const told = [...first.complaints, ...rest.complaints].map(
    ({ mutant, problem }) => `${mutant.number} ${mutant.story.join(", ")}: ${problem}`,
  );
  expect(told.slice(0, 20)).toEqual([]);
  // Bent far enough to be refused, and not so far that nothing gets through.
  for (const some of [rest.served, rest.refused]) expect(some).toBeGreaterThan(0.15 * (count - warm));

  await until(() => gateway.running.size === 0);
  expect(model.load).toEqual({ running: 0, waiting: 0 });
  expect(running.fatal).toEqual([]);
  expect((heapAfter(model) - before) / 2 ** 20).toBeLessThan(8);
});

/** Bytes in use once everything that can go has gone; what the fake model remembers is the test's own. */
function heapAfter(model: FakeModel): number {
  model.asked.length = model.signals.length = 0;
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}
