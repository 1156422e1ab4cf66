// Several requests in one model at once: each gets, event for event, what it gets alone, whatever comes and goes beside.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { demoModel } from "../../test-fixtures/golden.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { defaultImageLimits, ImagePreparer } from "../image/index.ts";
import { ask, endOf, greedy, tokensOf, type Heard } from "./ask.fixture.ts";
import { loadModel, type DeviceModel } from "./device.ts";
import { picturesOf, preparePictures } from "./pictures.ts";
import type { Step } from "./scheduler.ts";
import { loadText, renderChat } from "./text.ts";
import { Turns } from "./turns.ts";
import type { ChatMessage, GenerateRequest } from "./types.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

const chunk = 64;
let model: DeviceModel;
let turns: Turns;
let steps: Step[] = [];

beforeAll(async () => {
  model = await loadModel(await testGpu(), demoModel, { contextLength: 400, maxInFlight: 5 });
}, 400_000);
afterAll(() => {
  model.destroy();
});

function newTurns(pages = model.runner.pages): Turns {
  steps = [];
  const onStep = (step: Step) => steps.push(step);
  return new Turns(model.runner, model.vision, { chunk, states: true, pages, onStep });
}

function requestOf(length: number, seed: number, more: Partial<GenerateRequest> = {}): GenerateRequest {
  const prompt = Array.from({ length }, (_, i) => 300 + ((seed * 7919 + i * i * 31 + i * 17) % 1000));
  return {
    ...{ prompt, maxTokens: 24, sampling: greedy, stopTokens: [], topLogprobs: undefined, images: [] },
    ...more,
  };
}

const submit = (request: GenerateRequest, cancelAt?: number) => ask(turns, request, cancelAt);

/** How far turns may run ahead. */
function runAhead(depth: number): void {
  (model.runner as { ahead: number }).ahead = depth;
}

/** Turn by turn, each drawn before the next is planned. */
async function alone(request: GenerateRequest): Promise<Heard> {
  turns = newTurns();
  runAhead(0);
  const heard = submit(request);
  await heard.over;
  runAhead(2);
  return heard;
}

async function pictured(): Promise<GenerateRequest> {
  const file = join(demoModel, "../golden/cases.json");
  const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: { messages: ChatMessage[] }[] };
  const { messages } = cases.find((one) => picturesOf({ messages: one.messages, options: {} }).length > 0)!;
  const preparer = new ImagePreparer(model.info.vision!.settings, defaultImageLimits);
  const pictures = await preparePictures(preparer, { messages, options: {} });
  const text = await loadText(demoModel);
  const { imageToken } = model.info.vision!;
  const { ids, images } = renderChat(text, { messages, options: {} }, { imageToken, pictures });
  return { ...requestOf(0, 0), prompt: ids, images };
}

test("eight mixed requests at once", async () => {
  const warm = { ...greedy, temperature: 0.9, topK: 40, seed: 5 };
  const requests = [
    requestOf(1, 1),
    requestOf(70, 2, { maxTokens: 40 }),
    requestOf(150, 3, { sampling: warm, topLogprobs: 3 }),
    requestOf(64, 4, { sampling: { ...greedy, repetitionPenalty: 1.3 }, maxTokens: 9 }),
    requestOf(65, 5, { topLogprobs: 2 }),
    await pictured(),
    requestOf(130, 7, { sampling: { ...warm, seed: 9, presencePenalty: 0.5 }, maxTokens: 1 }),
    requestOf(33, 8, { maxTokens: 60 }),
  ];
  const wants: Heard[] = [];
  for (const request of requests) wants.push(await alone(request));
  expect(new Set(wants.map((heard) => JSON.stringify(tokensOf(heard)))).size).toBe(8);

  turns = newTurns();
  const all = requests.map((request, i) => submit(request, i === 1 ? 7 : i === 7 ? 3 : Infinity));
  await Promise.all(all.map(({ over }) => over));
  for (const [i, heard] of all.entries()) {
    const cancelled = i === 1 || i === 7;
    const [got, want] = [tokensOf(heard), tokensOf(wants[i]!)];
    expect(got, `request ${i}`).toEqual(cancelled ? want.slice(0, got.length) : want);
    const { reason, usage } = endOf(heard);
    expect(reason).toBe(cancelled ? "cancelled" : "length");
    expect([usage.promptTokens, usage.completionTokens]).toEqual([requests[i]!.prompt.length, got.length]);
    expect(usage.images?.count).toBe(i === 5 ? 1 : undefined);
    if (cancelled) expect(got.length).toBeLessThan(want.length);
  }
  expect(Math.max(...steps.map(({ decode }) => decode.length))).toBeGreaterThanOrEqual(4);
  expect(turns.stats).toMatchObject({ running: 0, waiting: 0, pages: { used: 0 } });
});

test("turns begin before the ones ahead of them are read, but not behind a draw that they wait for", async () => {
  const { runner } = model;
  const own = runner.turn;
  let [under, most] = [0, 0];
  runner.turn = async (...turn) => {
    under += 1;
    most = Math.max(most, under);
    return own.apply(runner, turn).finally(() => (under -= 1));
  };
  onTestFinished(() => {
    runner.turn = own;
    runAhead(2);
  });
  for (const depth of [0, 2]) {
    turns = newTurns();
    runAhead(depth);
    most = 0;
    const heard = submit(requestOf(20, 91, { maxTokens: 30 }));
    await heard.over;
    expect(tokensOf(heard).length).toBe(30);
    expect(steps.length, "nothing is computed behind an end that is known").toBe(30);
    expect(most).toBe(depth + 1);
    const unknown = steps.flatMap(({ decode }) => decode).filter(({ token }) => token === undefined);
    expect(unknown.length).toBe(depth === 0 ? 0 : 29);
  }
});

test("a long prompt keeps nobody waiting for more than a chunk, and is itself done in as few turns", async () => {
  turns = newTurns();
  const stream = submit(requestOf(10, 11, { maxTokens: 40 }));
  while (tokensOf(stream).length < 3) await new Promise((resolve) => setTimeout(resolve, 1));
  const late = submit(requestOf(300, 12, { maxTokens: 2 }));
  await Promise.all([stream.over, late.over]);
  const chunks = steps.filter(({ prefill }) => prefill?.sequence === late.id);
  expect(chunks.map(({ prefill }) => prefill!.to - prefill!.from)).toEqual([64, 64, 64, 64, 44]);
  for (const { decode } of chunks) expect(decode.map(({ sequence }) => sequence)).toContain(stream.id);
  const turnsOf = chunks.map(({ turn }) => turn);
  expect(turnsOf).toEqual(turnsOf.map((_, i) => turnsOf[0]! + i));
});

test("who comes first is first; who leaves while waiting is told so and takes nothing", async () => {
  turns = newTurns();
  const all = Array.from({ length: 7 }, (_, i) => submit(requestOf(20 + i, 20 + i, { maxTokens: 4 })));
  turns.cancel(all[6]!.id);
  turns.cancel(999_999);
  await Promise.all(all.map(({ over }) => over));
  const started = steps.flatMap((step) => step.started.map(({ sequence }) => sequence));
  expect(started).toEqual(all.slice(0, 6).map(({ id }) => id));
  expect(endOf(all[6]!)).toMatchObject({ reason: "cancelled", usage: { completionTokens: 0 } });
  expect(all[6]!.events.length).toBe(1);
});

test("a stop token ends one sequence, and the rest go on", async () => {
  const plain = requestOf(40, 31);
  const want = await alone(plain);
  const stop = tokensOf(want)[5]!.id;
  const first = tokensOf(want).findIndex(({ id }) => id === stop);
  turns = newTurns();
  const [stopped, beside] = [submit({ ...plain, stopTokens: [stop] }), submit(plain)];
  await Promise.all([stopped.over, beside.over]);
  expect(tokensOf(stopped)).toEqual(tokensOf(want).slice(0, first + 1));
  expect(endOf(stopped)).toMatchObject({ reason: "stop", usage: { completionTokens: first + 1 } });
  expect(tokensOf(beside)).toEqual(tokensOf(want));
});

test("logits that cannot be drawn from end their own request alone", async () => {
  const plain = requestOf(30, 41);
  const want = await alone(plain);
  turns = newTurns();
  const bad = submit(requestOf(30, 42, { sampling: { ...greedy, logitBias: { 5: Infinity } } }));
  const good = submit(plain);
  await Promise.all([bad.over, good.over]);
  expect(bad.failure).toMatchObject({ code: "internal" });
  expect(tokensOf(good)).toEqual(tokensOf(want));
  expect(turns.stats).toMatchObject({ running: 0, waiting: 0, pages: { used: 0 } });
});

test("too few pages for all: the newest begin again later, and go on where they were", async () => {
  const warm = { ...greedy, temperature: 0.9, topK: 40, seed: 5 };
  const requests = [
    requestOf(120, 81, { maxTokens: 50 }),
    requestOf(61, 82, { maxTokens: 70, sampling: warm }),
    requestOf(125, 83, { maxTokens: 30 }),
    requestOf(3, 84, { maxTokens: 90 }),
  ];
  const wants: Heard[] = [];
  for (const request of requests) wants.push(await alone(request));
  turns = newTurns(7); // of one context
  const all = requests.map((request) => submit(request));
  await Promise.all(all.map(({ over }) => over));
  for (const [i, heard] of all.entries()) {
    expect(tokensOf(heard), `request ${i}`).toEqual(tokensOf(wants[i]!));
    expect(endOf(heard).usage).toMatchObject({ promptTokens: requests[i]!.prompt.length });
    expect(heard.events.filter(({ type }) => type === "started").length).toBe(1);
  }
  const behind = steps.filter(({ preempted }) => preempted.length > 0);
  expect(behind.length).toBeGreaterThan(0);
  const again = steps.flatMap(({ started }) => started).map(({ sequence }) => sequence);
  expect(again.length).toBe(4 + turns.stats.preemptions);
  expect(new Set(steps.flatMap(({ tables }) => tables.flatMap(({ pages }) => pages))).size).toBe(7);
  expect(turns.stats).toMatchObject({ running: 0, waiting: 0, pages: { used: 0 } });
});

test("after a fault what ran has failed, and what waited is served", async () => {
  const plain = requestOf(90, 51);
  const want = await alone(plain);
  turns = newTurns();
  const running = Array.from({ length: 5 }, (_, i) => submit(requestOf(8, 60 + i, { maxTokens: 60 })));
  const waiting = submit(plain);
  while (running.some((heard) => tokensOf(heard).length === 0))
    await new Promise((resolve) => setTimeout(resolve, 1));
  turns.fault(new Error("a command was refused"));
  await Promise.all([...running, waiting].map(({ over }) => over));
  for (const { failure } of running) expect(failure).toMatchObject({ message: "a command was refused" });
  expect(tokensOf(waiting)).toEqual(tokensOf(want));
});

test("of a failed turn nothing is owed when the loop stands still", async () => {
  const plain = requestOf(30, 95);
  const want = await alone(plain);
  const { runner } = model;
  const own = runner.turn;
  onTestFinished(() => {
    runner.turn = own;
  });
  let [begun, owed] = [0, 0];
  runner.turn = async (...turn) => {
    begun += 1;
    if (begun === 4) throw new Error("the fourth turn");
    owed += 1;
    return own.apply(runner, turn).finally(() => (owed -= 1));
  };
  turns = newTurns();
  const failing = submit(requestOf(40, 96, { maxTokens: 50 }));
  await failing.over;
  expect(failing.failure).toMatchObject({ message: "the fourth turn" });
  expect(begun, "two were on their way behind it").toBe(6);
  expect(owed).toBe(0);
  const heard = submit(plain);
  await heard.over;
  expect(tokensOf(heard)).toEqual(tokensOf(want));
});

test("stopped, everything is cancelled, and the loop stands still", async () => {
  turns = newTurns();
  const all = Array.from({ length: 6 }, (_, i) => submit(requestOf(50, 70 + i, { maxTokens: 200 })));
  await turns.stop();
  for (const heard of all) expect(endOf(heard).reason).toBe("cancelled");
  expect(turns.stats).toMatchObject({ running: 0, waiting: 0, pages: { used: 0 } });
});
