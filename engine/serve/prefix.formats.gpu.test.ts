// The prefix cache where keys and values are kept in fewer bits: pages that others wrote are read as one's own would be.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { demoModel } from "../../test-fixtures/golden.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { ask, endOf, greedy, idsOf, tokensOf } from "./ask.fixture.ts";
import { loadModel, type DeviceModel } from "./device.ts";
import { Turns } from "./turns.ts";
import type { GenerateRequest } from "./types.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

let model: DeviceModel | undefined;
afterEach(() => {
  vi.restoreAllMocks();
  model?.destroy();
  model = undefined;
});

const { cases } = JSON.parse(readFileSync(join(demoModel, "../golden/cases.json"), "utf8")) as {
  cases: { n_images: number; prompt_ids: number[]; output_ids: number[] }[];
};
const texts = cases.filter(({ n_images }) => n_images === 0);
/** Two prompts that go on differently behind many whole pages and a part of one. */
const common = texts.slice(0, 9).flatMap(({ prompt_ids, output_ids }) => [...prompt_ids, ...output_ids]);
const [one, other] = [texts[9]!, texts[10]!].map(({ prompt_ids }) => [
  ...common.slice(0, 300),
  ...prompt_ids,
]);
/** The tokenizer's <|im_start|>, which every prompt of the demo model begins with. */
const special = texts[0]!.prompt_ids[0]!;

function turnsOf({ runner, vision }: DeviceModel, prefixCache: boolean): Turns {
  return new Turns(runner, vision, { chunk: 128, states: true, prefixCache, specialTokens: [special] });
}

async function answer(turns: Turns, prompt: readonly number[]) {
  const request: GenerateRequest = {
    ...{ prompt, images: [], stopTokens: [], maxTokens: 12, sampling: greedy, topLogprobs: 0 },
  };
  const heard = ask(turns, request);
  await heard.over;
  const logprobs = tokensOf(heard).map(({ logprob }) => logprob!);
  return { ids: idsOf(heard), logprobs, cached: endOf(heard).usage.cachedTokens };
}

// What a prompt that is cut elsewhere rounds otherwise may also be kept otherwise, by one step of the format.
test.each([
  ["f16", 2e-3],
  ["q8_0", 4e-2],
] as const)("%s: the same answers with the cache and without it", async (kvCache, bound) => {
  model = await loadModel(await testGpu(), demoModel, { contextLength: 512, maxInFlight: 2, kvCache });
  const cold = turnsOf(model, false);
  const want = [await answer(cold, one!), await answer(cold, other!)];
  // What is in pages afterwards is another's, so that nothing is right by chance.
  await answer(
    cold,
    Array.from({ length: 480 }, (_, i) => 300 + ((i * i) % 1000)),
  );
  const warm = turnsOf(model, true);
  const got = [await answer(warm, one!), await answer(warm, other!), await answer(warm, one!)];
  expect(got[0]!.cached).toBe(0);
  expect(got[1]!.cached).toBeGreaterThanOrEqual(256);
  for (const [i, { ids, logprobs }] of got.entries()) {
    expect(ids).toEqual(want[i % 2]!.ids);
    expectClose(logprobs, want[i % 2]!.logprobs, bound, `answer ${i}`);
  }
  const tell = model.runner.tell.bind(model.runner);
  const { pages } = model.runner;
  vi.spyOn(model.runner, "tell").mockImplementation((write) =>
    tell({ ...write, pages: write.pages.map((page) => (page + 1) % pages) }),
  );
  const wrong = await answer(warm, other!);
  expect(() => expectClose(wrong.logprobs, want[1]!.logprobs, bound)).toThrow(); // pages of others
});
