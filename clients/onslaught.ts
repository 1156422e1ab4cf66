// Sends mutants to a gateway in front of a real neuron's routes, and looks at every answer: there must be one, soon, in
// the caller's dialect, and none may be a fault of ours.

import { request } from "undici";
import type { Dispatcher } from "undici";
import { framesOf, readMessage, readResponse } from "../gateway/dialects/streams.fixture.ts";
import type { Json } from "../gateway/dialects/streams.fixture.ts";
import type { Mutant } from "./fuzz.ts";

/** What is wrong with an answer, and whose it is. */
export interface Complaint {
  mutant: Mutant;
  problem: string;
}

export interface Outcome {
  complaints: Complaint[];
  /** How many were served, and how many refused. */
  served: number;
  refused: number;
}

const longestMs = 20_000;

export async function onslaught(url: string, mutants: Iterable<Mutant>, lanes: number): Promise<Outcome> {
  const outcome: Outcome = { complaints: [], served: 0, refused: 0 };
  const queue = mutants[Symbol.iterator]();
  const lane = async () => {
    for (let next = queue.next(); !next.done; next = queue.next()) {
      const problem = await problemOf(url, next.value, outcome);
      if (problem !== undefined) outcome.complaints.push({ mutant: next.value, problem });
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return outcome;
}

async function problemOf(
  url: string,
  { method, path, headers, body }: Mutant,
  outcome: Outcome,
): Promise<string | undefined> {
  try {
    const answer = await request(url + path, {
      method: method as Dispatcher.HttpMethod,
      headers: { "content-type": "application/json", ...headers },
      ...(method !== "GET" && { body }),
      signal: AbortSignal.timeout(longestMs),
    });
    const text = await answer.body.text();
    const type = String(answer.headers["content-type"]);
    if (answer.statusCode >= 500) return `${answer.statusCode} ${text.slice(0, 300)}`;
    if (answer.statusCode >= 400) outcome.refused++;
    else outcome.served++;
    if (answer.statusCode >= 400) return refusalProblem(text, { path, headers });
    return type.startsWith("text/event-stream") ? streamProblem(text, path) : wholeProblem(text, type);
  } catch (error) {
    return `no answer: ${String(error)}`;
  }
}

/** An error in the caller's dialect. */
function refusalProblem(
  text: string,
  { path, headers }: Pick<Mutant, "path" | "headers">,
): string | undefined {
  const body = JSON.parse(text) as Json;
  const anthropic = headers["anthropic-version"] !== undefined || path.startsWith("/v1/messages");
  const told = typeof body.error?.message === "string" && typeof body.error?.type === "string";
  if (told && anthropic === (body.type === "error")) return undefined;
  return `a refusal in no dialect: ${text.slice(0, 300)}`;
}

/** The machines throw at what breaks a rule of the stream. */
function streamProblem(text: string, path: string): string | undefined {
  if (text.includes('"internal"') || text.includes("upstream_"))
    return `a fault in the stream: ${text.slice(-300)}`;
  if (path.startsWith("/v1/messages")) readMessage(framesOf(text));
  else if (path.startsWith("/v1/responses")) readResponse(framesOf(text));
  else if (!text.endsWith("data: [DONE]\n\n") && !text.includes('"error"'))
    return `no end: ${text.slice(-200)}`;
  return undefined;
}

function wholeProblem(text: string, type: string): string | undefined {
  if (type.startsWith("application/json")) JSON.parse(text);
  return undefined;
}
