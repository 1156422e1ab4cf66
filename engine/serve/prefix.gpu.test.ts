// The prefix cache on a device: conversations get, token for token, what they get without it, from a fraction of the work.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { demoModel } from "../../test-fixtures/golden.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { defaultImageLimits, ImagePreparer } from "../image/index.ts";
import { ask, endOf, greedy, idsOf, tokensOf } from "./ask.fixture.ts";
import { loadModel, type DeviceModel } from "./device.ts";
import { picturesOf, preparePictures } from "./pictures.ts";
import type { Copy, Step } from "./scheduler.ts";
import { loadText, renderChat, type ModelText } from "./text.ts";
import { Turns } from "./turns.ts";
import type { ChatMessage, ContentPart, GenerateRequest } from "./types.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

let model: DeviceModel;
/** Its memory is its own: it knows nothing of what the other has computed. */
let forgetful: DeviceModel;
let text: ModelText;
let steps: Step[] = [];
const { cases } = JSON.parse(readFileSync(join(demoModel, "../golden/cases.json"), "utf8")) as {
  cases: { messages: ChatMessage[]; tools: unknown }[];
};

beforeAll(async () => {
  text = await loadText(demoModel);
  const gpu = await testGpu();
  model = await loadModel(gpu, demoModel, { contextLength: 640, maxInFlight: 4 });
  forgetful = await loadModel(gpu, demoModel, { contextLength: 640, maxInFlight: 1, prefixCache: false });
}, 400_000);
afterAll(() => {
  model.destroy();
  forgetful.destroy();
});
afterEach(() => {
  vi.restoreAllMocks();
});

function newTurns(pages = model.runner.pages, prefixCache = true): Turns {
  steps = [];
  const onStep = (step: Step) => steps.push(step);
  const { specialIds: specialTokens } = text.tokenizer;
  return new Turns(model.runner, model.vision, {
    ...{ chunk: 64, states: true, prefixCache, specialTokens, pages, onStep },
  });
}

interface Talk {
  messages: ChatMessage[];
  thinks: boolean;
}

async function requestOf(
  { messages, thinks }: Talk,
  more: Partial<GenerateRequest> = {},
): Promise<GenerateRequest> {
  const request = { messages, templateArguments: { enable_thinking: thinks }, options: {} };
  const { settings, imageToken } = model.info.vision!;
  const pictures = await preparePictures(new ImagePreparer(settings, defaultImageLimits), request);
  const { ids: prompt, images } = renderChat(text, request, { imageToken, pictures });
  const { eosIds: stopTokens } = text.tokenizer;
  return { prompt, images, stopTokens, maxTokens: 40, sampling: greedy, topLogprobs: 0, ...more };
}

const completion = (prompt: readonly number[], more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  ...{ prompt, images: [], stopTokens: [], maxTokens: 12, sampling: greedy, topLogprobs: 0 },
  ...more,
});

/** Token ids and their log-probabilities, with what the prefix cache had of the prompt. */
async function answer(turns: Turns, request: GenerateRequest) {
  const heard = ask(turns, request);
  await heard.over;
  const logprobs = tokensOf(heard).map(({ logprob }) => logprob!);
  return { ids: idsOf(heard), logprobs, cached: endOf(heard).usage.cachedTokens };
}

type Answer = Awaited<ReturnType<typeof answer>>;

const cold = (request: GenerateRequest) => answer(forgetful.turns, request);

/** The same tokens, and as likely: a prompt cut elsewhere goes through other kernels, which round otherwise. */
function expectSame(got: Answer, want: Answer, what = ""): void {
  expect(got.ids, what).toEqual(want.ids);
  expectClose(got.logprobs, want.logprobs, 1e-3, what);
}

/** What a client keeps of an answer: no thoughts; and its next prompt is cut into tokens anew. */
function said(ids: readonly number[]): ChatMessage {
  const end = ids.findIndex((id) => text.tokenizer.eosIds.includes(id));
  const whole = text.tokenizer.decode(end < 0 ? ids : ids.slice(0, end));
  return { role: "assistant", content: whole.split("</think>").at(-1)!.trim() };
}

const questions = cases
  .filter(({ tools, messages }) => tools === null && picturesOf({ messages, options: {} }).length === 0)
  .map(({ messages }) => messages.at(-1)!);
const story: ChatMessage = { role: "user", content: "Write a short story about a mouse." };
const pictures = cases
  .flatMap(({ messages }) => messages)
  .flatMap(({ content }) => (Array.isArray(content) ? (content as ContentPart[]) : []))
  .filter(({ type }) => type === "image_url");

/** Numbers below n, the same for the same seed. */
function randomOf(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

function opened(random: (n: number) => number): Talk {
  const instruction = questions.map(({ content }) => content as string).slice(0, 2 + random(9));
  const first = questions[random(questions.length)]!;
  const shown = [pictures[random(3)]!, { type: "text", text: first.content as string } as const];
  return {
    messages: [
      ...(random(3) === 0 ? [] : [{ role: "system", content: `You know: ${instruction.join(" ")}` }]),
      random(3) === 0 ? { role: "user", content: shown } : first,
    ],
    thinks: random(2) === 0,
  };
}

test("random conversations, their branches and pictures", async () => {
  const random = randomOf(10);
  const turns = newTurns();
  const played = steps;
  let talks = Array.from({ length: 4 }, () => opened(random));
  const seen = { requests: 0, reused: 0, thoughts: 0, merged: 0 };
  for (let round = 0; round < 3; round += 1) {
    const requests = await Promise.all(talks.map((talk) => requestOf(talk)));
    const warm = await Promise.all(requests.map((request) => answer(turns, request)));
    for (const [i, request] of requests.entries())
      expectSame(warm[i]!, await cold(request), `round ${round}, ${JSON.stringify(talks[i])}`);
    seen.requests += requests.length;
    seen.reused += warm.filter(({ cached }) => cached > 0).length;
    talks = talks.map(({ messages, thinks }, i) => {
      const { ids } = warm[i]!;
      const reply = said(ids);
      const again = text.tokenizer.encode(reply.content as string, { special: false });
      if (text.tokenizer.decode(ids).includes("</think>")) seen.thoughts += 1;
      else if (String(again) !== String(ids.slice(0, again.length))) seen.merged += 1;
      return { messages: [...messages, reply, questions[random(questions.length)]!], thinks };
    });
    if (round === 0)
      talks.push({ ...talks[0]!, messages: [...talks[0]!.messages.slice(0, -1), questions[7]!] });
  }
  expect(seen.reused).toBeGreaterThanOrEqual(seen.requests - 6);
  expect(seen.thoughts).toBeGreaterThan(0);
  const { hits, snapshots, bytes } = turns.figures;
  expect([hits, snapshots > 0, bytes > 0]).toEqual([seen.reused, true, true]);
  expect(played.flatMap(({ copies }) => copies).map(({ kind }) => kind)).toContain("restore");
  expect(turns.stats).toMatchObject({ running: 0, waiting: 0, pages: { used: 0 } });
});

test("when pages run out, what the cache kept goes first, then the newest begins again", async () => {
  const prompts = [120, 150, 100].map((length, n) =>
    Array.from({ length }, (_, i) => 300 + ((i * i + 7 * n) % 1000)),
  );
  const requests = prompts.map((prompt) => completion(prompt, { maxTokens: 140 }));
  const turns = newTurns(10); // of one context
  const warm = await Promise.all(requests.map((request) => answer(turns, request)));
  expect(turns.figures.preemptions).toBeGreaterThan(0);
  for (const [i, request] of requests.entries()) expectSame(warm[i]!, await cold(request), `request ${i}`);
});

/** Two prompts with a long beginning in common, that part within a page and within a word. */
function parting(): [readonly number[], readonly number[]] {
  const story = questions.map(({ content }) => content as string).join(" ");
  const encode = (part: string) => text.tokenizer.encode(part, { special: false });
  const prompts = [
    encode(`${story.slice(0, 700)}mouse and the h`),
    encode(`${story.slice(0, 705)}king is the`),
  ];
  return prompts as [number[], number[]];
}

test("prompts that part within a word", async () => {
  const [one, other] = parting();
  const turns = newTurns();
  await answer(turns, completion(one));
  const warm = await answer(turns, completion(other));
  expect(warm.cached).toBeGreaterThanOrEqual(64);
  expectSame(warm, await cold(completion(other)));
});

test("a request that is asked again computes its last tokens alone; a picture of other pixels is another", async () => {
  const talk = {
    messages: [{ role: "user", content: [pictures[0]!, { type: "text", text: "Which colour?" }] }],
  };
  const request = await requestOf({ ...talk, thinks: false } as Talk);
  const [image] = request.images;
  const turns = newTurns();
  const [first, again] = [await answer(turns, request), await answer(turns, request)];
  expect(first.cached).toBe(0);
  expectSame(again, first);
  expect(again.cached).toBeGreaterThan(image!.at + 3);
  const inverted = { ...image!, rgb: image!.rgb.map((value) => 255 - value), hash: "inverted" };
  const other = await answer(turns, { ...request, images: [inverted] });
  expect(other.cached).toBeLessThanOrEqual(image!.at);
  expectSame(other, await cold({ ...request, images: [inverted] }));
  expect(() => expectSame(other, first)).toThrow();
});

test.each([true, false])("several answers to a prompt compute it once, prefix cache %s", async (cache) => {
  const talk = { messages: [{ role: "system", content: "You are brief." }, story], thinks: true };
  const sampled = (seed: number) =>
    requestOf(talk, { sampling: { ...greedy, temperature: 2, seed }, family: 7 });
  const requests = await Promise.all([1, 2, 3].map(sampled));
  const turns = newTurns(undefined, cache);
  const warm = await Promise.all(requests.map((request) => answer(turns, request)));
  const { length } = requests[0]!.prompt;
  expect(warm.map(({ cached }) => cached)).toEqual([0, length - 1, length - 1]);
  const computed = steps.flatMap(({ prefill }) => prefill?.tokens ?? []);
  expect(computed.length).toBe(length - 1);
  expect(new Set(warm.map(({ ids }) => String(ids))).size).toBe(3);
  const other = await answer(turns, { ...requests[0]!, family: 8 });
  expect(other.cached).toBe(cache ? length - 1 : 0);
  expect(turns.figures.bytes > 0).toBe(cache); // without a cache nothing outlives its family
  // Alone the prompt is cut at the same places, so every bit is the same. Cut elsewhere it would be the same to 10⁻⁶, and
  // a draw as near as that to the border between two tokens may then fall to the other one.
  for (const [i, request] of requests.entries()) {
    const alone = await answer(newTurns(undefined, cache), request);
    expect(warm[i], `answer ${i}`).toEqual({ ...alone, cached: warm[i]!.cached });
  }
});

describe("the comparison notices", () => {
  /** A prompt, then one that goes on from its special token; the second's answer with a device that does `wrong`. */
  async function secondAnswer(wrong: () => void): Promise<{ warm: Answer; right: Answer }> {
    const opening = [questions[5]!, { role: "user", content: "Count from 12 to 17." }];
    const first = await requestOf({ messages: opening, thinks: false });
    const reply = { role: "assistant", content: "12, 13, 14, 15, 16, 17." };
    const second = await requestOf({ messages: [...opening, reply, questions[9]!], thinks: false });
    const right = await cold(second);
    // Pages must not hold what they should by chance: another sequence has been everywhere.
    await answer(newTurns(), completion(Array.from({ length: 620 }, (_, i) => 300 + ((i * i) % 1000))));
    const turns = newTurns();
    await answer(turns, first);
    wrong();
    const warm = await answer(turns, second);
    expect(warm.cached).toBeGreaterThan(0);
    return { warm, right };
  }

  function forget(kind: Copy["kind"]): void {
    const { runner } = model;
    const copy = runner.copy.bind(runner);
    vi.spyOn(runner, "copy").mockImplementation((one) => (one.kind === kind ? undefined : copy(one)));
  }

  test("nothing where nothing is wrong", async () => {
    const { warm, right } = await secondAnswer(() => undefined);
    expectSame(warm, right);
  });

  test.each<[string, () => void]>([
    ["a state that is not restored", () => forget("restore")],
    ["a page that is not copied", () => forget("page")],
    [
      "pages of others",
      () => {
        const tell = model.runner.tell.bind(model.runner);
        vi.spyOn(model.runner, "tell").mockImplementation((write) => {
          tell({ ...write, pages: write.pages.map((page) => (page + 1) % model.runner.pages) });
        });
      },
    ],
  ])("%s", async (_, wrong) => {
    const { warm, right } = await secondAnswer(wrong);
    expect(() => expectSame(warm, right)).toThrow();
  });
});
