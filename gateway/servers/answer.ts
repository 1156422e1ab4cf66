// What a server of another make answers, as a neuron would have: a good answer made whole, a bad one as a refusal.

import { text } from "node:stream/consumers";
import type { Failure } from "../dialects/canonical.ts";
import { openAiError } from "../dialects/failures.ts";
import { GatewayError } from "../errors.ts";
import type { Answer } from "../wire/upstream.ts";
import { NeuronRefusal, readAtMost } from "../wire/upstream.ts";
import { failureIn, failureOfStatus } from "./failures.ts";
import { mendedEvents } from "./mended.ts";
import type { Naming } from "./mender.ts";
import { ChunkMender, mendWhole } from "./mender.ts";
import type { PromptLength } from "./prompt-length.ts";

const longestError = 1 << 16;
/** Of an answer that is not streamed; embeddings pass as they come. */
const longestWhole = 1 << 26;

export async function serverAnswer(
  answer: Answer,
  path: string,
  naming: Naming,
  length?: PromptLength,
): Promise<Answer | NeuronRefusal | GatewayError> {
  const { statusCode, body } = answer;
  if (statusCode < 200 || statusCode > 299) {
    const found = failureIn(parse(await readAtMost(longestError, body)), statusCode);
    return refusal(found ?? failureOfStatus(statusCode), answer);
  }
  const type = String(answer.headers["content-type"] ?? "application/json");
  const good = { statusCode: 200, headers: { "content-type": type }, body };
  if (path !== "/v1/chat/completions") return good;
  if (/^text\/event-stream\b/.test(type))
    return { ...good, body: mendedEvents(body, new ChunkMender(naming), length) };
  const whole = mendWhole(parse(await readAtMost(longestWhole, body)), naming);
  if (whole === undefined) return refusal(failureOfStatus(502), answer);
  return "choices" in whole
    ? { ...good, body: bytesOf(whole) }
    : refusal(whole as unknown as Failure, answer);
}

/** Its fault, which the log tells and a client need not know, or what a client has to hear. */
function refusal(failure: Failure, { statusCode, headers }: Answer): NeuronRefusal | GatewayError {
  const { status, code, message } = failure;
  if (code === "upstream_failed")
    return new GatewayError(code, message, null, { cause: new Error(`status ${statusCode}`) });
  const retryAfter = [headers["retry-after"]].flat()[0];
  return new NeuronRefusal(status, code, Buffer.from(JSON.stringify(openAiError(failure))), retryAfter);
}

/** Of a server that has a way, but not for this prompt or not now. */
export class CountRefused extends Error {
  constructor(status: number) {
    super(`The server with this model did not count the tokens of this prompt (status ${status}).`);
  }
}

const knowsNoSuchPath: readonly number[] = [404, 405, 501];

/** Asks a server how many tokens the prompt of a chat completion has, in whichever way it knows; undefined if in none. */
export async function countTokens(
  post: (path: string, body: object) => Promise<Answer>,
  chat: Readonly<Record<string, unknown>>,
): Promise<number | undefined> {
  const ask = async (path: string, body: object) => {
    const { statusCode, body: bytes } = await post(path, body);
    const said = parse(Buffer.from(await text(bytes)));
    if (statusCode !== 200 && !knowsNoSuchPath.includes(statusCode)) throw new CountRefused(statusCode);
    return (statusCode === 200 ? said : undefined) as Record<string, unknown> | undefined;
  };
  const told = await ask("/v1/chat/completions/input_tokens", chat);
  if (typeof told?.input_tokens === "number") return told.input_tokens;
  const counted = await ask("/tokenize", chat); // vLLM
  if (typeof counted?.count === "number") return counted.count;
  const filled = await ask("/apply-template", chat); // llama.cpp
  if (typeof filled?.prompt !== "string") return undefined;
  const split = await ask("/tokenize", { content: filled.prompt, add_special: true, parse_special: true });
  return Array.isArray(split?.tokens) ? split.tokens.length : undefined;
}

export async function* bytesOf(value: object): AsyncGenerator<Buffer> {
  yield Buffer.from(JSON.stringify(value));
}

function parse(bytes: Buffer | undefined): unknown {
  try {
    return JSON.parse(bytes?.toString() ?? "");
  } catch {
    return undefined;
  }
}
