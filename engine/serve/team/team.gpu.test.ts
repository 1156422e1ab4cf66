// One model over two threads of one adapter: what it answers, and what becomes of it when one of them fails.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { demoModel } from "../../../test-fixtures/golden.ts";
import { expectClose } from "../../../test-fixtures/gpu.ts";
import { prepareAdapter } from "../../gpu/adapter.ts";
import { openEngine, type EngineOptions } from "../engine.ts";
import type {
  ChatMessage,
  ChatRequest,
  DeviceHealth,
  Engine,
  GenerationOptions,
  LoadOptions,
  Model,
  TextEvent,
  TokenLogprob,
} from "../types.ts";

vi.setConfig({ testTimeout: 240_000 }); // kernels compile on two devices of a software adapter

interface DemoCase {
  id: string;
  messages: ChatMessage[];
  content: string;
}

const file = join(demoModel, "../golden/cases.json");
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: DemoCase[] };
const known = cases.find(({ id }) => id === "counting-1")!;
const pictured = cases.find(({ messages }) => JSON.stringify(messages).includes("image_url"))!;
const never = new AbortController().signal;

const open: Engine[] = [];
let healths: DeviceHealth[];
afterEach(async () => {
  await Promise.all(open.splice(0).map((engine) => engine.close()));
});

/** Two logical devices on the adapter under test. */
async function start(options: EngineOptions = {}): Promise<Engine> {
  const { index } = await prepareAdapter({ adapter: process.env["NEURON_TEST_ADAPTER"] });
  const engine = await openEngine({ devices: [index, index], ...options });
  open.push(engine);
  healths = [];
  engine.onChange = (health) => healths.push(health);
  return engine;
}

const load = (engine: Engine, options: LoadOptions = {}) =>
  engine.load(demoModel, { contextLength: 512, maxInFlight: 2, ...options });

async function ask(model: Model, { messages }: DemoCase = known): Promise<string> {
  const options = { temperature: 0, maxTokens: 60 };
  const events: TextEvent[] = [];
  const request = { messages, templateArguments: { enable_thinking: false }, options };
  for await (const event of model.chat(request, never)) events.push(event);
  return events.map((event) => (event.type === "content" ? event.text : "")).join("");
}

test("the answers of one device, alone and side by side, with pictures, behind a prefix", async () => {
  const engine = await start();
  const model = await load(engine, { contextLength: 1024, tensorParallel: 2 });
  const { plans, devices, weightBytes, parameters } = model.info;
  expect([devices.length, plans.length]).toEqual([2, 2]);
  expect(await Promise.all([ask(model), ask(model, pictured), ask(model)])).toEqual([
    known.content,
    pictured.content,
    known.content,
  ]);
  expect(model.cache!.reusedTokens).toBeGreaterThan(0);
  const alone = await load(engine, { tensorParallel: 1 });
  expect(alone.info.devices.length).toBe(1);
  expect(await ask(alone)).toBe(known.content);
  expect(parameters).toBe(alone.info.parameters);
  expect(weightBytes).toBeLessThan(1.7 * alone.info.weightBytes); // what both have: embedding, norms
  await model.unload();
  expect(await ask(alone)).toBe(known.content);
});

test("the same where layers are divided, and where what is quicker was measured", async () => {
  const engine = await start();
  const staged = await load(engine, { contextLength: 1024, pipelineParallel: 2 });
  const { spread, weightBytes } = staged.info;
  expect(spread).toMatchObject({ by: "pipeline", why: "layers are divided: as asked" });
  expect(spread!.layers!.every((own) => own > 0)).toBe(true);
  expect(await Promise.all([ask(staged), ask(staged, pictured), ask(staged)])).toEqual([
    known.content,
    pictured.content,
    known.content,
  ]);
  expect(staged.cache!.reusedTokens).toBeGreaterThan(0);
  await staged.unload();
  const chosen = await load(engine);
  expect(chosen.info.spread?.why).toMatch(
    /a sum over 2 devices takes .* ms, reading the model .* ms; a token about/,
  );
  expect(await ask(chosen)).toBe(known.content);
  if (chosen.info.spread!.by === "pipeline") expect(chosen.info.weightBytes).toBe(weightBytes);
  else expect(chosen.info.weightBytes).toBeGreaterThan(weightBytes); // both have the embedding
});

/** Whoever draws must see what one device would: of settings that cut, penalise, forbid and tell. */
const settings: [string, GenerationOptions, Partial<ChatRequest>?][] = [
  ["nothing cut off", { temperature: 2, seed: 11 }],
  ["top_k, top_p", { temperature: 2, topK: 9, topP: 0.9, seed: 12 }],
  ["top_p alone, told", { temperature: 2, topP: 0.8, seed: 13, topLogprobs: 4 }],
  [
    "min_p, penalties",
    { temperature: 2, minP: 0.01, seed: 14, repetitionPenalty: 1.3, frequencyPenalty: 0.5 },
  ],
  [
    "likeliest, bias, told",
    { temperature: 0, logitBias: { 5: 3, 1500: -100 }, presencePenalty: 1, topLogprobs: 20 },
  ],
  ["a grammar", { temperature: 2, seed: 15, topLogprobs: 2 }, { format: { type: "json_object" } }],
];

interface Answer {
  text: string;
  logprobs: TokenLogprob[];
}

async function answers(model: Model): Promise<Answer[]> {
  const all = settings.map(async ([, options, more]) => {
    const request = { messages: known.messages, templateArguments: { enable_thinking: false }, ...more };
    const answer: Answer = { text: "", logprobs: [] };
    for await (const event of model.chat({ ...request, options: { ...options, maxTokens: 16 } }, never))
      if (event.type === "content") {
        answer.text += event.text;
        answer.logprobs.push(...event.logprobs);
      }
    return answer;
  });
  return Promise.all(all);
}

test("the tokens of one device, whatever the settings, several at once", async () => {
  const engine = await start();
  const model = await load(engine, { maxInFlight: 3, tensorParallel: 2 });
  const shared = await answers(model);
  await model.unload();
  const alone = await answers(await load(engine, { maxInFlight: 3, tensorParallel: 1 }));
  // Logits differ in their last bits, and one draw in some 2000 falls so near the border between two tokens that these
  // decide (docs/operate.md): with other processors that may be one of these. That draws from the same logits are the same
  // to the bit is held in serve/draw/shared.gpu.test.ts.
  const same = settings.filter((_, i) => shared[i]!.text === alone[i]!.text).map(([name]) => name);
  expect(same.length, same.join("; ")).toBeGreaterThanOrEqual(settings.length - 1);
  for (const [i, [name]] of settings.entries()) {
    if (!same.includes(name)) continue;
    const told = (answer: Answer) => answer.logprobs.flatMap((one) => [one, ...one.top]);
    expectClose(
      told(shared[i]!).map(({ logprob }) => logprob),
      told(alone[i]!).map(({ logprob }) => logprob),
      1e-3,
    );
  }
  expect(shared.map(({ logprobs }) => logprobs[0]?.top.length)).toEqual([
    ...[undefined, undefined, 4, undefined, 20, 2],
  ]);
  expect(new Set(shared.map(({ text }) => text)).size).toBe(settings.length);
});

/** Sums of a load and its first tokens, or handovers, are over by then. */
const sums = { tensor: 60, pipeline: 9 };
const ways = { tensor: { tensorParallel: 2 }, pipeline: { pipelineParallel: 2 } };

/** FAULTS=all: every kind in every phase on either rank, which takes many minutes; simulated ranks do it always. */
function failures(): { way: keyof typeof ways; fault: string }[] {
  if (process.env["FAULTS"] !== "all") return [{ way: "tensor", fault: "crash@sum:60/1" }];
  return (["tensor", "pipeline"] as const).flatMap((way) =>
    ["lost", "crash", "bug", "hang"].flatMap((kind) =>
      ["prefill", "decode:4", `sum:${sums[way]}`].flatMap((point) =>
        [0, 1].map((rank) => ({ way, fault: `${kind}@${point}/${rank}` })),
      ),
    ),
  );
}

test.each(failures())("$fault by $way: all who waited hear it, and it recovers", async ({ way, fault }) => {
  const engine = await start({ faults: fault, stepLimitMs: 12_000 });
  const model = await load(engine, ways[way]);
  const outcomes = await Promise.allSettled([ask(model), ask(model), ask(model)]);
  const codes = outcomes.map((one) =>
    one.status === "rejected" ? ((one.reason as { code?: string }).code ?? "internal") : "answered",
  );
  const ofItself = fault.startsWith("bug") && fault.endsWith("/0") && !fault.includes("sum");
  if (ofItself) expect(codes).toContain("internal");
  else expect(new Set(codes)).toEqual(new Set(["device_lost"]));
  expect(model.load).toEqual({ running: 0, waiting: 0 });
  await engine.settled();
  expect([model.state, engine.health.losses]).toEqual(["ready", ofItself ? 0 : 1]);
  expect(await ask(model)).toBe(known.content);
});
