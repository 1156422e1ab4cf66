// A request as a server of another make understands it: its own name of the model, its key, and nothing of ours. Pure.

import { setFields } from "../wire/json-edit.ts";
import type { UpstreamRequest } from "../wire/upstream.ts";
import type { Server } from "./server.ts";
import { keyHeaders } from "./server.ts";

type Request = Pick<UpstreamRequest, "headers" | "body">;

/** Of what the client sent, only this goes to a server that need not be ours. */
const passedOn = ["content-type", "x-request-id", "traceparent", "tracestate"] as const;

export function serverRequest(
  server: Server,
  model: string,
  { headers, body }: Request,
): Request & { /** It is to say how long the prompt is, before the first word. */ wantsLength: boolean } {
  const passed = passedOn.filter((name) => headers[name] !== undefined).map((name) => [name, headers[name]]);
  const text = body.toString();
  const asked = JSON.parse(text) as Record<string, unknown>;
  const edits = editsOf(asked, server.names.get(model));
  return {
    headers: { ...Object.fromEntries(passed), ...keyHeaders(server) },
    body: Object.keys(edits).length > 0 ? setFields(text, edits) : body,
    wantsLength:
      asked.stream === true && isOurs(asked.stream_options) && asked.stream_options.prompt_usage === true,
  };
}

function editsOf(body: Record<string, unknown>, name: string | undefined): Record<string, unknown> {
  const { messages, stream_options: options } = body;
  return {
    ...(name !== undefined && { model: name }),
    ...(isOurs(options) && { stream_options: { ...options, prompt_usage: undefined } }),
    ...(hasDeveloper(messages) && { messages: messages.map(withSystem) }),
  };
}

function isOurs(options: unknown): options is { prompt_usage: unknown } {
  return typeof options === "object" && options !== null && "prompt_usage" in options;
}

/** Most chat templates know no such role; what it says is what "system" says. */
function withSystem(message: unknown): unknown {
  return isDeveloper(message) ? { ...message, role: "system" } : message;
}

function hasDeveloper(messages: unknown): messages is unknown[] {
  return Array.isArray(messages) && messages.some(isDeveloper);
}

function isDeveloper(message: unknown): message is { role: "developer" } {
  return (message as { role?: unknown } | null)?.role === "developer";
}
