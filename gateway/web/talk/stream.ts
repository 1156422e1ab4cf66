// One request to the gateway and its stream.

import { ask } from "../ask.ts";
import { errorOf, ServerError } from "./answer.ts";
import type { ChatBody } from "./request.ts";
import { EventReader } from "./sse.ts";

/**
 * The chunks of an answer, parsed. Throws ServerError when the gateway refuses, cannot be reached, or breaks off; the
 * signal's reason when it is aborted. A chunk with an `error` in it is the caller's to see.
 */
export async function* stream(body: ChatBody, signal: AbortSignal): AsyncGenerator<unknown> {
  const response = await post(body, signal);
  const events = new EventReader();
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      for (const event of done ? events.end() : events.push(value)) {
        if (event === "[DONE]") return;
        yield parse(event);
      }
      if (done) throw new ServerError("The connection ended in the middle of the answer.");
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ServerError) throw error;
    throw new ServerError("The connection broke in the middle of the answer.");
  } finally {
    void reader.cancel().catch(() => undefined); // a caller that stops reading ends the request
  }
}

async function post(body: ChatBody, signal: AbortSignal): Promise<Response> {
  const headers = { "content-type": "application/json" };
  let response: Response;
  try {
    response = await ask("/v1/chat/completions", {
      ...{ method: "POST", headers, signal, body: JSON.stringify(body) },
    });
  } catch {
    signal.throwIfAborted();
    throw new ServerError("The gateway cannot be reached.");
  }
  if (response.ok && /^text\/event-stream\b/.test(response.headers.get("content-type") ?? ""))
    return response;
  throw await refusal(response);
}

async function refusal(response: Response): Promise<ServerError> {
  try {
    const { error } = (await response.json()) as { error?: unknown };
    if (error !== undefined) return errorOf(error);
  } catch {
    // not JSON: told below
  }
  return new ServerError(`The gateway answered ${response.status} without a stream.`);
}

function parse(event: string): unknown {
  try {
    return JSON.parse(event);
  } catch {
    throw new ServerError("The answer's stream holds something that is not JSON.");
  }
}
