// `cortex validate`: what a client needs of one model, asked of a running gateway or neuron, one thing after another.

import { AnswerError, baseOf, call, chat } from "../../kit/client.ts";
import type { Client } from "../../kit/client.ts";
import type { Finding } from "./findings.ts";
import { redSquare } from "./red-square.ts";

export interface ValidateSettings {
  client: Client;
  model: string;
  /** Each step; a load may take all of it. */
  timeoutMs: number;
  /** Unload the model even when it was there before. */
  unload: boolean;
}

interface Listed {
  id: string;
  loaded?: boolean;
  capabilities?: string[];
  tool_call?: boolean;
}

/** What the steps have learned so far. */
interface Course extends ValidateSettings {
  isGateway: boolean;
  before: Listed | undefined;
  listed: Listed | undefined;
}

interface Message {
  content?: string | null;
  tool_calls?: { function: { name: string; arguments: string } }[];
}

interface Completion {
  choices: { message: Message; finish_reason: string }[];
  usage: { prompt_tokens: number; completion_tokens: number };
}

/** A step's own words when all is well; it throws when not, and Skip when it does not apply. */
type Step = (course: Course) => Promise<string>;
class Skip extends Error {}

const steps: readonly [string, Step][] = [
  ["health", health],
  ["load", load],
  ["chat", fixedAnswer],
  ["streaming", streaming],
  ["responses", responses],
  ["messages", messages],
  ["tool", tool],
  ["image", image],
  ["embeddings", embeddings],
  ["errors", errors],
  ["unload", unload],
];

const question = "What is the capital of France?";
const expected = /\bParis\b/;

/** One finding a step, as it ends. After a model that cannot be loaded nothing is asked of it. */
export async function* validate(settings: ValidateSettings): AsyncGenerator<Finding> {
  const course: Course = { ...settings, isGateway: false, before: undefined, listed: undefined };
  for (const [what, step] of steps) {
    try {
      yield { verdict: "pass", what, text: await step(course) };
    } catch (error) {
      if (error instanceof Skip) yield { verdict: "skip", what, text: error.message };
      else yield failure(what, error);
      if (!(error instanceof Skip) && (what === "health" || what === "load")) return;
    }
  }
}

function failure(what: string, error: unknown): Finding {
  const text = error instanceof Error ? error.message : String(error);
  return { verdict: "FAIL", what, text, ...(error instanceof AnswerError && { code: error.code }) };
}

async function health(course: Course): Promise<string> {
  const answer = (await ask(course, "/health")) as { status: string; version?: string; fleet?: unknown[] };
  course.isGateway = Array.isArray(answer.fleet);
  if (answer.status === "shutting_down") throw new Error("it is shutting down");
  course.before = await listedModel(course);
  const what = course.isGateway ? `a gateway, ${answer.status}` : "a neuron";
  return `${baseOf(course.client)} is ${what}`;
}

async function load(course: Course): Promise<string> {
  const { model, isGateway, before } = course;
  const started = performance.now();
  if (isReady(before, isGateway)) course.listed = before;
  else {
    if (isGateway) await ask(course, "/api/models/load", { model });
    else await ask(course, "/models/load", { model_id: model });
    course.listed = await listedModel(course);
  }
  if (!isReady(course.listed, isGateway)) throw new Error(`${model} is not listed as loaded afterwards`);
  return before === course.listed ? `${model} was loaded already` : `loaded ${took(started)}`;
}

async function fixedAnswer(course: Course): Promise<string> {
  onlyOfText(course);
  const started = performance.now();
  const { choices, usage } = await complete(course, { messages: [{ role: "user", content: question }] });
  const text = expectParis(choices[0]?.message.content);
  if (!(usage.prompt_tokens > 0 && usage.completion_tokens > 0)) throw new Error("usage counts no tokens");
  return `${text} ${took(started)}`;
}

async function streaming(course: Course): Promise<string> {
  onlyOfText(course);
  const started = performance.now();
  let [text, pieces, tokens] = ["", 0, 0];
  let firstMs = 0;
  for await (const { choices, usage } of chat(
    course.client,
    greedy(course, [user(question)]),
    limit(course),
  )) {
    const { content, reasoning_content: thought } = choices?.[0]?.delta ?? {};
    if (content || thought) pieces++;
    if (pieces === 1) firstMs ||= performance.now() - started;
    text += content ?? "";
    tokens = usage?.completion_tokens ?? tokens;
  }
  expectParis(text);
  if (pieces < 2)
    throw new Error(`the whole answer came in ${pieces} piece: something on the way holds it back`);
  if (tokens === 0) throw new Error("the stream carried no usage");
  return `${pieces} pieces, first after ${(firstMs / 1000).toFixed(2)} s, ${tokens} tokens`;
}

async function responses(course: Course): Promise<string> {
  onlyOfText(course);
  onlyOnGateways(course);
  const body = { model: course.model, input: question, temperature: 0, max_output_tokens: 512, store: false };
  const { output } = (await ask(course, "/v1/responses", body)) as {
    output: { type: string; content?: { text?: string }[] }[];
  };
  const parts = output.filter(({ type }) => type === "message").flatMap(({ content }) => content ?? []);
  return expectParis(parts.map(({ text }) => text ?? "").join(""));
}

async function messages(course: Course): Promise<string> {
  onlyOfText(course);
  onlyOnGateways(course);
  const body = { model: course.model, messages: [user(question)], temperature: 0, max_tokens: 512 };
  const { content } = (await ask(course, "/v1/messages", body)) as { content: { text?: string }[] };
  return expectParis(content.map(({ text }) => text ?? "").join(""));
}

async function tool(course: Course): Promise<string> {
  if (course.listed?.tool_call === false) throw new Skip("the model's template knows no tools");
  const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  const { choices } = await complete(course, {
    messages: [user("What is the weather in Oslo?")],
    tools: [
      { type: "function", function: { name: "get_weather", description: "Weather of a city", parameters } },
    ],
    tool_choice: "required",
  });
  const call = choices[0]?.message.tool_calls?.[0]?.function;
  if (call?.name !== "get_weather") throw new Error(`no call of get_weather: ${JSON.stringify(choices[0])}`);
  const { city } = JSON.parse(call.arguments) as { city?: unknown };
  if (typeof city !== "string") throw new Error(`arguments without a city: ${call.arguments}`);
  return `get_weather(${call.arguments})`;
}

async function image(course: Course): Promise<string> {
  if (!course.listed?.capabilities?.includes("vision")) throw new Skip("the model has no eyes");
  const content = [
    { type: "image_url", image_url: { url: redSquare } },
    { type: "text", text: "Which colour is this square? Answer with one word." },
  ];
  const { choices } = await complete(course, { messages: [{ role: "user", content }] });
  const text = choices[0]?.message.content ?? "";
  if (!/red/i.test(text)) throw new Error(`a red square is said to be: ${JSON.stringify(text)}`);
  return JSON.stringify(text.trim());
}

/** Two texts, which are told apart by vectors of unit length. */
async function embeddings(course: Course): Promise<string> {
  if (!embeds(course)) throw new Skip("the model makes text");
  const input = [question, "Say hello."];
  const { data } = (await ask(course, "/v1/embeddings", { model: course.model, input })) as {
    data: { embedding: number[] }[];
  };
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  const [one, other] = data.map(({ embedding }) => embedding);
  if (!one || !other) throw new Error(`${input.length} texts have ${data.length} vectors`);
  const [length, cosine] = [Math.sqrt(dot(one, one)), dot(one, other)];
  if (Math.abs(length - 1) > 0.01) throw new Error(`a vector has the length ${length}, not 1`);
  if (cosine > 0.9999) throw new Error("two texts have the same vector");
  return `${one.length} values, of unit length`;
}

async function errors(course: Course): Promise<string> {
  const model = "no-such-model-by-cortex-validate";
  try {
    await ask(course, "/v1/chat/completions", { model, messages: [user("x")] });
  } catch (error) {
    if (!(error instanceof AnswerError)) throw error;
    if (error.status === 404 && error.code === "model_not_found") return "an unknown model is a 404";
    throw new Error(`an unknown model gives ${error.status} ${error.code}, expected 404 model_not_found`, {
      cause: error,
    });
  }
  throw new Error("an unknown model was answered");
}

async function unload(course: Course): Promise<string> {
  const { model, isGateway, before } = course;
  if (isReady(before, isGateway) && !course.unload)
    throw new Skip("it was loaded before, so it stays; --unload unloads it");
  if (isGateway) await ask(course, "/api/models/unload", { model });
  else await ask(course, "/models/unload", { model_id: model });
  if (isReady(await listedModel(course), isGateway)) throw new Error("it is still listed as loaded");
  return "unloaded";
}

async function listedModel(course: Course): Promise<Listed | undefined> {
  const { data } = (await ask(course, "/v1/models")) as { data: Listed[] };
  return data.find(({ id }) => id === course.model);
}

/** A gateway lists what it could load, too. */
function isReady(listed: Listed | undefined, isGateway: boolean): boolean {
  return listed !== undefined && (!isGateway || listed.loaded === true);
}

function complete(
  course: Course,
  more: { messages: unknown[] } & Record<string, unknown>,
): Promise<Completion> {
  const body = { ...greedy(course, more.messages), ...more };
  return ask(course, "/v1/chat/completions", body) as Promise<Completion>;
}

function greedy({ model }: Course, messages: unknown[]): Record<string, unknown> {
  return {
    model,
    messages,
    temperature: 0,
    max_tokens: 512,
    chat_template_kwargs: { enable_thinking: false },
  };
}

function ask(course: Course, path: string, body?: unknown): Promise<unknown> {
  return call(course.client, path, { ...(body !== undefined && { body }), signal: limit(course) });
}

function limit({ timeoutMs }: Course): AbortSignal {
  return AbortSignal.timeout(timeoutMs);
}

function embeds({ listed }: Course): boolean {
  return listed?.capabilities?.includes("embeddings") ?? false;
}

function onlyOfText(course: Course): void {
  if (embeds(course)) throw new Skip("the model makes embeddings, not text");
}

function onlyOnGateways({ isGateway }: Course): void {
  if (!isGateway) throw new Skip("a neuron speaks chat completions only");
}

function user(content: string): { role: "user"; content: string } {
  return { role: "user", content };
}

function expectParis(text: string | null | undefined): string {
  if (!expected.test(text ?? "")) throw new Error(`"${question}" was answered: ${JSON.stringify(text)}`);
  return JSON.stringify(text!.trim().slice(0, 60));
}

function took(started: number): string {
  return `in ${((performance.now() - started) / 1000).toFixed(2)} s`;
}
