// One request to a neuron, and all that is to be known of how it was answered.
import type { Pool } from "undici";
import type { Request } from "./requests.ts";

export interface Answer {
  /**
   * whole: to its end. refused: told with Retry-After to come back. broken: a stream that ended with the news that the
   * device was lost. cancelled: by us. lost: anything else.
   */
  outcome: "whole" | "refused" | "broken" | "cancelled" | "lost";
  /** Texts, thoughts and calls, as they came; with what was wrong, where it was lost. */
  text: string;
  tokens: number;
  /** When to come back, s, where it was refused. */
  retryAfter: number | undefined;
  /** From the request to its first text, ms. */
  firstMs: number | undefined;
  /** Between one text and the next, ms. */
  gapsMs: number[];
  totalMs: number;
}

interface Chunk {
  error?: { message: string; code?: string };
  usage?: { completion_tokens: number } | null;
  choices?: { text?: string; delta?: Record<string, unknown>; message?: Record<string, unknown> }[];
}

/** `leaveAfter`: hang up behind so many texts. */
export async function ask(pool: Pool, { path, body }: Request, leaveAfter = Infinity): Promise<Answer> {
  const abort = new AbortController();
  const begun = performance.now();
  const answer: Answer = {
    ...{ outcome: "lost", text: "", tokens: 0, retryAfter: undefined, firstMs: undefined, gapsMs: [] },
    totalMs: 0,
  };
  let last = begun;
  let texts = 0;
  const heard = (text: string) => {
    const now = performance.now();
    if (texts === 0) answer.firstMs = now - begun;
    else answer.gapsMs.push(now - last);
    last = now;
    texts += 1;
    answer.text += text;
  };
  try {
    const {
      statusCode,
      headers,
      body: bytes,
    } = await pool.request({
      ...{ path, method: "POST", body: JSON.stringify(body), signal: abort.signal },
      headers: { "content-type": "application/json" },
    });
    if (statusCode !== 200) {
      answer.text = `status ${statusCode}: ${await bytes.text()}`;
      const retryAfter = Number(headers["retry-after"]);
      if ((statusCode !== 503 && statusCode !== 429) || !(retryAfter > 0)) return answer;
      return Object.assign(answer, { outcome: "refused", retryAfter });
    }
    if (body["stream"] !== true) {
      const whole = (await bytes.json()) as Chunk;
      heard(textOf(whole));
      return Object.assign(answer, { outcome: "whole", tokens: whole.usage?.completion_tokens ?? 0 });
    }
    for await (const data of events(bytes as AsyncIterable<Buffer>)) {
      if (data === "[DONE]") {
        answer.outcome = "whole";
        continue;
      }
      const chunk = JSON.parse(data) as Chunk;
      if (chunk.error?.code === "device_lost") return Object.assign(answer, { outcome: "broken" });
      if (chunk.error) throw new Error(chunk.error.message);
      answer.tokens = chunk.usage?.completion_tokens ?? answer.tokens;
      const text = textOf(chunk);
      if (text !== "") heard(text);
      if (texts < leaveAfter) continue;
      answer.outcome = "cancelled";
      abort.abort();
      break;
    }
  } catch (error) {
    if (answer.outcome !== "cancelled") answer.text += ` … ${String(error)}`;
  } finally {
    answer.totalMs = performance.now() - begun;
  }
  return answer;
}

/** The data of each event of a stream. */
async function* events(bytes: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of bytes) {
    rest += decoder.decode(piece, { stream: true });
    const frames = rest.split("\n\n");
    rest = frames.pop()!;
    for (const frame of frames) if (frame.startsWith("data: ")) yield frame.slice("data: ".length);
  }
}

/** What a chunk says, whatever it is; ids of calls are drawn anew each time, so they do not count. */
function textOf({ choices = [] }: Chunk): string {
  return choices
    .map(({ text, delta, message }) => {
      const { content, reasoning_content: thought, tool_calls: calls } = delta ?? message ?? {};
      const said = (calls as { function?: { name?: string; arguments?: string } }[] | undefined) ?? [];
      const called = said.map((call) => (call.function?.name ?? "") + (call.function?.arguments ?? ""));
      return [text, thought, content, ...called]
        .map((part) => (typeof part === "string" ? part : ""))
        .join("");
    })
    .join("");
}
