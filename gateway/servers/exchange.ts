// One request to a server of another make, and its answer as a neuron would have given it.

import type { Dispatcher } from "undici";
import { GatewayError } from "../errors.ts";
import { newId } from "../ids.ts";
import type { Stop } from "../wire/stop.ts";
import type { Answer, NeuronRefusal, UpstreamRequest } from "../wire/upstream.ts";
import { send } from "../wire/upstream.ts";
import { bytesOf, CountRefused, countTokens, serverAnswer } from "./answer.ts";
import { serverRequest } from "./ask.ts";
import { promptLength } from "./prompt-length.ts";
import type { Server } from "./server.ts";

const countPath = "/v1/chat/completions/input_tokens";

/** Throws what the connection throws. `model` is our id of it. */
export async function askServer(
  dispatcher: Dispatcher,
  server: Server,
  model: string,
  request: UpstreamRequest,
): Promise<Answer | NeuronRefusal | GatewayError> {
  const { headers, body, wantsLength } = serverRequest(server, model, request);
  const count = (stop: Stop) => {
    const post = (path: string, asked: object) =>
      send(dispatcher, { ...request, path, headers, body: JSON.stringify(asked), stop });
    const chat = JSON.parse(body.toString()) as Record<string, unknown>;
    return countTokens(post, { ...chat, stream: undefined, stream_options: undefined });
  };
  if (request.path === countPath) {
    const input_tokens = await count(request.stop).catch(refused);
    if (input_tokens instanceof GatewayError) return input_tokens;
    if (input_tokens !== undefined) return { statusCode: 200, headers: {}, body: bytesOf({ input_tokens }) };
    return new GatewayError("not_found", "The server with this model cannot count tokens.");
  }
  const length = wantsLength ? promptLength(server, request.stop, count) : undefined;
  const answer = await send(dispatcher, { ...request, headers, body });
  const naming = { newId, model, created: Math.floor(Date.now() / 1000) };
  return serverAnswer(answer, request.path, naming, length);
}

function refused(error: unknown): GatewayError {
  if (error instanceof CountRefused) return new GatewayError("upstream_failed", error.message);
  throw error;
}
