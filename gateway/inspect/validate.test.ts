// `cortex validate` against a server that does everything right, and then one thing wrong at a time: only that step
// may fail.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text as readAll } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import type { Finding } from "./findings.ts";
import { validate } from "./validate.ts";

interface World {
  gateway: boolean;
  loaded: boolean;
  tools: boolean;
  vision: boolean;
  embeds: boolean;
  /** Of the error about a model that nobody has. */
  unknownCode: string;
  /** What a path answers instead; a chat completion is told apart by what it holds. */
  wrong: Record<string, unknown>;
}

const good: World = {
  ...{ gateway: true, loaded: true, tools: true, vision: true, embeds: false },
  ...{ unknownCode: "model_not_found", wrong: {} },
};
const paris = "It is Paris.";

async function findings(changes: Partial<World>, unload = false): Promise<Finding[]> {
  const world = { ...good, ...changes };
  const server = createServer((request, response) => {
    void readAll(request).then((body) => {
      const [status, type, text] = answer(world, request.url!, body);
      response.writeHead(status, { "content-type": type }).end(text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const all: Finding[] = [];
  for await (const finding of validate({ client: { endpoint }, model: "m", timeoutMs: 5000, unload }))
    all.push(finding);
  return all;
}

function answer(world: World, path: string, body: string): [number, string, string] {
  const json = (value: unknown, status = 200): [number, string, string] => [
    status,
    "application/json",
    JSON.stringify(value),
  ];
  const request = (body === "" ? {} : JSON.parse(body)) as Record<string, unknown>;
  const name = nameOf(path, request);
  if (Object.hasOwn(world.wrong, name)) {
    const wrong = world.wrong[name];
    return typeof wrong === "string" ? [200, "text/event-stream", wrong] : json(wrong);
  }
  if (name === "health") return json(world.gateway ? { status: "ok", fleet: [] } : { status: "ok" });
  if (name === "models") {
    const capabilities = world.embeds ? ["embeddings"] : world.vision ? ["text", "vision"] : ["text"];
    const model = { id: "m", loaded: world.loaded, tool_call: world.tools, capabilities };
    return json({ data: world.gateway || world.loaded ? [model] : [] });
  }
  if (name === "load" || name === "unload") {
    world.loaded = name === "load";
    return json({ status: `${name}ed` });
  }
  if (name === "unknown") return json({ error: { message: "no", code: world.unknownCode } }, 404);
  if (name === "streaming") return [200, "text/event-stream", stream(["It is ", "Paris."])];
  if (name === "responses") return json({ output: [{ type: "message", content: [{ text: paris }] }] });
  if (name === "messages") return json({ content: [{ type: "text", text: paris }] });
  if (name === "embeddings") return json({ data: vectors([0.6, 0.8], [0, 1]) });
  if (name === "tool") return json(completion({ tool_calls: [toolCall('{"city":"Oslo"}')] }));
  return json(completion({ content: name === "image" ? "Red." : paris }));
}

function nameOf(path: string, { model, stream, tools, messages }: Record<string, unknown>): string {
  if (model !== undefined && !path.includes("load") && model !== "m") return "unknown";
  if (path !== "/v1/chat/completions") return path.split("/").at(-1)!;
  if (stream) return "streaming";
  if (tools) return "tool";
  return JSON.stringify(messages).includes("image_url") ? "image" : "chat";
}

const vectors = (...all: number[][]) => all.map((embedding) => ({ embedding }));

const toolCall = (text: string, name = "get_weather") => ({ function: { name, arguments: text } });

function completion(message: object, usage = { prompt_tokens: 5, completion_tokens: 3 }) {
  return { choices: [{ message, finish_reason: "stop" }], usage };
}

function stream(pieces: string[], { done = true, usage = true } = {}): string {
  const chunks: unknown[] = pieces.map((content) => ({ choices: [{ delta: { content } }] }));
  if (usage) chunks.push({ choices: [], usage: { prompt_tokens: 5, completion_tokens: 3 } });
  return [
    ...chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`),
    done ? "data: [DONE]\n\n" : "",
  ].join("");
}

const verdicts = (all: Finding[]) => Object.fromEntries(all.map(({ what, verdict }) => [what, verdict]));
const wellDone = Object.fromEntries(
  ["health", "load", "chat", "streaming", "responses", "messages", "tool", "image", "errors"].map((step) => [
    step,
    "pass",
  ]),
);

test("a gateway and a model that do everything", async () => {
  expect(verdicts(await findings({}))).toEqual({ ...wellDone, embeddings: "skip", unload: "skip" });
  expect(verdicts(await findings({}, true))).toEqual({ ...wellDone, embeddings: "skip", unload: "pass" });
  expect(verdicts(await findings({ loaded: false }))).toEqual({
    ...wellDone,
    embeddings: "skip",
    unload: "pass",
  });
});

test("a neuron with a model that reads text only", async () => {
  const world = { gateway: false, loaded: false, tools: false, vision: false };
  const not = { responses: "skip", messages: "skip", tool: "skip", image: "skip", embeddings: "skip" };
  expect(verdicts(await findings(world))).toEqual({ ...wellDone, ...not, unload: "pass" });
});

test.each<[step: string, wrong: Record<string, unknown>, words: string]>([
  ["chat", { chat: completion({ content: "London." }) }, '"London."'],
  ["chat", { chat: completion({ content: paris }, { prompt_tokens: 0, completion_tokens: 0 }) }, "no tokens"],
  ["streaming", { streaming: stream([paris]) }, "in 1 piece"],
  ["streaming", { streaming: stream(["It is ", "Rome."]) }, "Rome"],
  ["streaming", { streaming: stream(["It is ", "Paris."], { done: false }) }, "ended before its end"],
  ["streaming", { streaming: stream(["It is ", "Paris."], { usage: false }) }, "no usage"],
  ["streaming", { streaming: 'data: {"error":{"message":"lost the device"}}\n\n' }, "lost the device"],
  ["responses", { responses: { output: [] } }, "answered"],
  ["messages", { messages: { content: [{ text: "Oslo" }] } }, "Oslo"],
  ["tool", { tool: completion({ content: "It rains." }) }, "no call of get_weather"],
  ["tool", { tool: completion({ tool_calls: [toolCall("{}")] }) }, "without a city"],
  ["image", { image: completion({ content: "Blue." }) }, "Blue."],
  ["errors", { unknown: completion({ content: "I am here." }) }, "was answered"],
])("%s fails alone: %j", async (step, wrong, words) => {
  const all = await findings({ wrong });
  expect(verdicts(all)).toEqual({ ...wellDone, embeddings: "skip", unload: "skip", [step]: "FAIL" });
  expect(all.find(({ what }) => what === step)!.text).toContain(words);
});

const ofEmbeddings = {
  ...{ health: "pass", load: "pass", chat: "skip", streaming: "skip", responses: "skip", messages: "skip" },
  ...{ tool: "skip", image: "skip", embeddings: "pass", errors: "pass", unload: "skip" },
};

test.each<[verdict: string, data: object[]]>([
  ["pass", vectors([0.6, 0.8], [0, 1])],
  ["FAIL", vectors([0.6, 0.8])],
  ["FAIL", vectors([3, 4], [0, 1])],
  ["FAIL", vectors([0.6, 0.8], [0.6, 0.8])],
])("a model that makes embeddings: %s", async (verdict, data) => {
  const all = await findings({ embeds: true, tools: false, wrong: { embeddings: { data } } });
  expect(verdicts(all)).toEqual({ ...ofEmbeddings, embeddings: verdict });
});

test("after a load that does nothing, the rest is not asked", async () => {
  const all = await findings({ loaded: false, wrong: { load: { status: "loaded" } } });
  expect(all.map(({ what, verdict }) => [what, verdict])).toEqual([
    ["health", "pass"],
    ["load", "FAIL"],
  ]);
});

test("an unload that leaves the model there", async () => {
  const all = await findings({ wrong: { unload: {} } }, true);
  expect(all.at(-1)).toEqual({ verdict: "FAIL", what: "unload", text: "it is still listed as loaded" });
});

test("an unknown model whose error has another code", async () => {
  const all = await findings({ unknownCode: "not_found" });
  expect(all.filter(({ verdict }) => verdict === "FAIL")).toEqual([
    {
      verdict: "FAIL",
      what: "errors",
      text: "an unknown model gives 404 not_found, expected 404 model_not_found",
    },
  ]);
});

test("one that is shutting down is asked nothing more", async () => {
  expect(await findings({ wrong: { health: { status: "shutting_down", fleet: [] } } })).toEqual([
    { verdict: "FAIL", what: "health", text: "it is shutting down" },
  ]);
});

test("nobody there", async () => {
  const settings = { client: { endpoint: "http://127.0.0.1:9" }, model: "m", timeoutMs: 5000, unload: false };
  const all: Finding[] = [];
  for await (const finding of validate(settings)) all.push(finding);
  expect(all).toMatchObject([
    { what: "health", verdict: "FAIL", text: expect.stringContaining("ECONNREFUSED") },
  ]);
});
