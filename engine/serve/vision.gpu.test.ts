// Pictures through the whole engine with the demo model: the reference's answers, and the tower's work done once.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { demoModel, loadTensors } from "../../test-fixtures/golden.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { Sequence } from "./oneSequence.ts";
import { defaultImageLimits, ImagePreparer } from "../image/index.ts";
import { loadModel, type DeviceModel } from "./device.ts";
import { openEngine } from "./engine.ts";
import { picturesOf, preparePictures } from "./pictures.ts";
import { loadText, renderChat } from "./text.ts";
import type { ChatMessage, ChatRequest, Engine, ImageUsage, Model, TextEvent } from "./types.ts";

interface DemoCase {
  id: string;
  messages: ChatMessage[];
  enable_thinking: boolean;
  prompt_ids: number[];
  output_ids: number[];
  reasoning: string | null;
  content: string | null;
}

const golden = join(demoModel, "..", "golden");
const { cases } = JSON.parse(readFileSync(join(golden, "cases.json"), "utf8")) as { cases: DemoCase[] };
const shown = cases.filter(({ messages }) => picturesOf({ messages, options: {} }).length > 0);
const requestOf = ({ messages, enable_thinking }: DemoCase): ChatRequest => ({
  messages,
  templateArguments: { enable_thinking },
  options: { temperature: 0, maxTokens: 100 },
});
const never = new AbortController().signal;

describe("answers", () => {
  let engine: Engine;
  let model: Model;
  beforeAll(async () => {
    engine = await openEngine({ adapter: process.env["NEURON_TEST_ADAPTER"], images: { perRequest: 3 } });
    model = await engine.load(demoModel, { contextLength: 512 });
  });
  afterAll(() => engine.close());

  async function answer(request: ChatRequest) {
    const events: TextEvent[] = [];
    for await (const event of model.chat(request, never)) events.push(event);
    const text = (type: "content" | "reasoning") =>
      events.map((e) => (e.type === type ? e.text : "")).join("");
    const last = events.at(-1)!;
    if (last.type !== "finished") throw new Error(last.type);
    return { content: text("content"), reasoning: text("reasoning"), usage: last.usage, first: events[0] };
  }

  test.each(shown.map((one) => [one.id, one] as const))("%s", async (_, one) => {
    const { content, reasoning, usage, first } = await answer(requestOf(one));
    expect(first).toEqual({ type: "started", promptTokens: one.prompt_ids.length });
    expect([content, reasoning]).toEqual([one.content ?? "", one.reasoning ?? ""]);
    expect([usage.promptTokens, usage.completionTokens]).toEqual([
      one.prompt_ids.length,
      one.output_ids.length,
    ]);
    const { count, tokens } = usage.images!;
    expect(count).toBe(picturesOf({ messages: one.messages, options: {} }).length);
    expect(tokens).toBe(one.prompt_ids.filter((id) => id === 1522).length);
  });

  test("a text between two chats about pictures does not stand at their positions", async () => {
    const text = cases.find(({ id }) => id === "capital-1")!;
    await answer(requestOf(shown[0]!));
    expect((await answer(requestOf(text))).content).toBe(text.content);
    expect((await answer(requestOf(text))).usage.images).toBeUndefined();
  });

  test("what the model says of itself, and how tokens are counted", async () => {
    expect(model.info.capabilities).toEqual(["text", "vision"]);
    expect(model.info.vision).toMatchObject({ imageToken: 1522, merge: 2, settings: { maxPixels: 65_536 } });
    expect(await model.countTokens(requestOf(shown[0]!))).toBe(shown[0]!.prompt_ids.length);
  });

  test("the operator's limit, before anything is said", async () => {
    const { url } = picturesOf(requestOf(shown[0]!))[0]!;
    const content = Array.from({ length: 4 }, () => ({ type: "image_url" as const, image_url: { url } }));
    await expect(answer({ messages: [{ role: "user", content }], options: {} })).rejects.toMatchObject({
      code: "bad_request",
      message: "messages.0.content.3: a request may have 3 pictures, this one has 4",
    });
  });
});

describe("embeddings", () => {
  const made: DeviceModel[] = [];
  afterAll(() => made.forEach((model) => model.destroy()));

  async function open(imageCacheBytes: number): Promise<DeviceModel> {
    const model = await loadModel(await testGpu(), demoModel, { contextLength: 256, imageCacheBytes });
    made.push(model);
    return model;
  }

  async function promptOf(one: DemoCase, { info }: DeviceModel) {
    const preparer = new ImagePreparer(info.vision!.settings, defaultImageLimits);
    const pictures = await preparePictures(preparer, requestOf(one));
    return renderChat(await loadText(demoModel), requestOf(one), {
      imageToken: info.vision!.imageToken,
      pictures,
    });
  }

  /** The logits behind a prompt, and what its pictures took. */
  async function run(
    model: DeviceModel,
    one: DemoCase,
  ): Promise<{ logits: Float32Array; usage: ImageUsage }> {
    const { ids, images } = await promptOf(one, model);
    const { pictures, usage, release } = await model.vision!.embed(images);
    const logits = await new Sequence(model.runner).prompt(ids, "logits", pictures);
    release();
    return { logits: logits as Float32Array, usage };
  }

  test("are computed once, kept within the budget, and give the same logits, the reference's", async () => {
    const model = await open(3 * 16 * 192 * 4); // three of the smallest
    const { vision } = model;
    const first = await run(model, shown[0]!);
    const want = loadTensors(join(golden, "logits.safetensors")).get("image-1")!.data;
    expectClose(first.logits, want, 1e-3);
    expect(first.usage).toMatchObject({ count: 1, cached: 0 });
    expect(vision!.cachedBytes).toBe(first.usage.tokens * 192 * 4);

    const again = await run(model, shown[0]!);
    expect(again.usage).toMatchObject({ count: 1, cached: 1, tokens: first.usage.tokens });
    expect(again.logits).toEqual(first.logits);

    for (const one of shown.slice(1, 8)) await run(model, one);
    expect(vision!.cachedBytes).toBeLessThanOrEqual(3 * 16 * 192 * 4);
    expect((await run(model, shown[0]!)).usage.cached).toBe(0); // it had to go
  });

  test("with no room to keep anything a request still has all of its own, and a picture twice runs once", async () => {
    const model = await open(0);
    const two = shown.find(({ messages }) => picturesOf({ messages, options: {} }).length === 2)!;
    const before = await run(model, two);
    expect(before.usage).toMatchObject({ count: 2, cached: 0 });
    expect(model.vision!.cachedBytes).toBe(0);
    const { images } = await promptOf(two, model);
    const { usage, release } = await model.vision!.embed([images[0]!, images[1]!, images[0]!]);
    expect(usage).toMatchObject({ count: 3, cached: 1 });
    expect(model.vision!.cachedBytes).toBeGreaterThan(0);
    release();
    expect(model.vision!.cachedBytes).toBe(0);
    expect((await run(model, two)).logits).toEqual(before.logits);
  });
});
