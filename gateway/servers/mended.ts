// A server's bytes made whole on their way: event by event, as they come.

import { eventEnd, longestEvent } from "../wire/answer.ts";
import { openAiError } from "../dialects/failures.ts";
import type { ChunkMender } from "./mender.ts";
import type { PromptLength } from "./prompt-length.ts";

const nothing = Buffer.alloc(0);

/** Throws when an event has no end. Ends without [DONE] when the server broke off: that is then for the reader to tell. */
export async function* mendedEvents(
  body: AsyncIterable<Buffer>,
  mender: ChunkMender,
  length?: PromptLength,
): AsyncGenerator<Buffer> {
  let held: Buffer = nothing;
  let isTold = length === undefined;
  for await (const chunk of body) {
    const bytes = held.length > 0 ? Buffer.concat([held, chunk]) : chunk;
    let start = 0;
    let text = "";
    let end = eventEnd(bytes, Math.max(0, held.length - 2));
    for (; end !== -1; end = eventEnd(bytes, start)) {
      const { out, over } = mended(bytes.toString("utf8", start, end), mender);
      if (!isTold && length?.tokens !== undefined) text += print([mender.lengthChunk(length.tokens)]);
      isTold ||= mender.spoke || length?.tokens !== undefined;
      text += out;
      if (over) return yield Buffer.from(text); // leaving the loop closes the server's connection
      start = end;
    }
    held = bytes.subarray(start);
    if (held.length > longestEvent) throw new Error("an event is longer than any event may be");
    if (text !== "") yield Buffer.from(text);
  }
  const { out, over } = mended(held.toString(), mender);
  const tail = over || !mender.finished ? out : out + done;
  if (tail !== "") yield Buffer.from(tail);
}

const done = "data: [DONE]\n\n";

/** One event; `over`: nothing comes after it. */
function mended(event: string, mender: ChunkMender): { out: string; over: boolean } {
  const lines = event.split(/\r?\n/);
  const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
  if (data.join("") === "[DONE]") return { out: print(mender.end()) + done, over: true };
  // llama.cpp once told errors in a field of their own.
  const error = lines.find((line) => line.startsWith("error:"))?.slice(6);
  const chunk = parse(error === undefined ? data.join("\n") : `{"error":${error}}`);
  if (chunk === undefined)
    return { out: lines.some((line) => line.startsWith(":")) ? ":\n\n" : "", over: false };
  const out = print(mender.push(chunk));
  if (mender.failure === undefined) return { out, over: false };
  return { out: print([openAiError(mender.failure)]), over: true };
}

function print(chunks: readonly object[]): string {
  return chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
