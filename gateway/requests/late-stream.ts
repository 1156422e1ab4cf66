// A chat or text completion that waits long for its neuron: its stream is opened meanwhile and kept alive, in the words
// of its own dialect, for clients count comments as silence. What goes wrong then is told within it.

import type { ServerResponse } from "node:http";
import { openAiError } from "../dialects/failures.ts";
import type { Answered } from "./dispatch.ts";
import { toGatewayError } from "../errors.ts";
import type { Exchange } from "../telemetry/exchange.ts";
import { failureOf } from "./failure.ts";
import type { Gateway } from "../gateway.ts";
import { newId } from "../ids.ts";
import { NeuronRefusal } from "../wire/upstream.ts";
import { progressComment } from "./waiting.ts";

export interface Late {
  gateway: Gateway;
  exchange: Exchange;
  client: ServerResponse;
  finding: Promise<Answered | undefined>;
}

/** The answer, once it is there, to be forwarded into the open stream; undefined when all is said. */
export async function openLate({ gateway, exchange, client, finding }: Late): Promise<Answered | undefined> {
  client.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no", // proxies in front must not collect the stream
    "x-request-id": exchange.id,
  });
  client.flushHeaders();
  const chunk = emptyChunk(exchange);
  const beat = () => {
    if (!client.writableNeedDrain && !client.writableEnded)
      client.write(progressComment(gateway, exchange) + chunk);
  };
  beat();
  const keepalive = setInterval(beat, gateway.options.keepaliveMs);
  try {
    return await finding;
  } catch (thrown) {
    const failure = failureOf(thrown instanceof NeuronRefusal ? thrown : toGatewayError(thrown));
    exchange.errorCode = failure.code;
    client.end(`data: ${JSON.stringify(openAiError(failure))}\n\n`);
    return undefined;
  } finally {
    clearInterval(keepalive);
  }
}

/** A chunk of the answer in which nothing is said. */
function emptyChunk({ path, asked }: Exchange): string {
  const chat = path === "/v1/chat/completions";
  const object = chat ? "chat.completion.chunk" : "text_completion";
  const nothing = chat ? { delta: { content: "" } } : { text: "" };
  const choice = { index: 0, ...nothing, logprobs: null, finish_reason: null };
  const head = { id: newId(chat ? "chatcmpl-" : "cmpl-"), object, created: Math.floor(Date.now() / 1000) };
  return `data: ${JSON.stringify({ ...head, model: asked, choices: [choice] })}\n\n`;
}
