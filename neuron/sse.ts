// An answer as server-sent events. The status goes out with the engine's first event, so a request that is wrong or
// turned away still gets a plain 4xx or 503; one that only waits long gets its headers and keepalives before that.

import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";
import type { ChoiceEvent, ChoicesEncoder } from "./choices.ts";
import type { Frame } from "./openai-answer.ts";

export interface StreamOptions {
  /** Longest silence, ms: clients count comments as silence, so the keepalive is an empty chunk of the dialect. */
  keepaliveMs: number;
  /** How long a client may leave its side unread, ms, before it is cut off. */
  stallMs: number;
  /** What to send when the answer breaks off in the middle. */
  failed: (error: unknown) => Frame;
  /** Ends the generation. */
  abort: () => void;
  /** Aborted when the client has gone. */
  closed: AbortSignal;
}

/** Sends all events; rejects, with nothing sent yet, only when the engine refuses the request in time. */
export async function stream(
  reply: FastifyReply,
  events: AsyncIterable<ChoiceEvent>,
  encoder: ChoicesEncoder,
  options: StreamOptions,
): Promise<void> {
  const iterator = events[Symbol.asyncIterator]();
  const first = iterator.next();
  await Promise.race([first, wait(options.keepaliveMs, first)]);
  const writer = open(reply, encoder, options);
  try {
    await writer.write(encoder.open());
    for (let next = await first; !next.done; next = await iterator.next()) {
      await writer.write(encoder.event(next.value));
    }
    writer.end("data: [DONE]\n\n");
  } catch (error) {
    options.abort();
    // No finish_reason and no [DONE]: a client must not take half an answer for a whole one.
    writer.end(data(options.failed(error)));
  } finally {
    writer.close();
    await iterator.return?.();
  }
}

interface Writer {
  write(frames: Frame[]): Promise<void>;
  end(text: string): void;
  close(): void;
}

function open(
  reply: FastifyReply,
  encoder: ChoicesEncoder,
  { keepaliveMs, stallMs, closed }: StreamOptions,
): Writer {
  reply.hijack();
  const raw = reply.raw;
  raw.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    connection: "keep-alive",
    // Proxies in front must not collect the stream.
    "x-accel-buffering": "no",
    "x-request-id": reply.request.id,
  });
  raw.flushHeaders();
  raw.socket?.setNoDelay(true);
  const keepalive = setInterval(() => {
    if (!raw.writableNeedDrain && !raw.writableEnded) raw.write(data(encoder.keepalive()));
  }, keepaliveMs);

  return {
    async write(frames) {
      if (frames.length === 0) return;
      keepalive.refresh();
      if (!raw.write(frames.map(data).join(""))) await drained(raw, stallMs, closed);
    },
    end(text) {
      if (!raw.destroyed) raw.end(text);
    },
    close: () => clearInterval(keepalive),
  };
}

async function drained(raw: ServerResponse, stallMs: number, closed: AbortSignal): Promise<void> {
  try {
    await once(raw, "drain", { signal: AbortSignal.any([closed, AbortSignal.timeout(stallMs)]) });
  } catch (error) {
    raw.destroy();
    throw new Error(`the client read nothing for ${stallMs} ms`, { cause: error });
  }
}

function data(frame: Frame): string {
  return `data: ${JSON.stringify(frame)}\n\n`;
}

/** Resolves after `ms`, or as soon as `other` settles, whatever comes first; leaves no timer behind. */
async function wait(ms: number, other: Promise<unknown>): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    const stop = () => {
      clearTimeout(timer);
      resolve();
    };
    other.then(stop, stop);
  });
}
