// Canonical events as Anthropic's message, in events and whole.
//   message_start → (content_block_start → content_block_delta* → content_block_stop)* → message_delta → message_stop
// Blocks are numbered from 0, one after another; pings may stand anywhere.

import type { Encoder, Event, Failure, FinishReason, Frame, Usage } from "./canonical.ts";
import { anthropicError } from "./failures.ts";
import { seal } from "./seal.ts";

export interface MessageHead {
  /** msg_… */
  id: string;
  model: string;
  requestId: string;
  /** "hidden": nobody asked for thoughts; "omitted": only their signature goes out. */
  thoughts: "shown" | "omitted" | "hidden";
  /** The client asked for edits of the context and wants to hear which were made. */
  contextManagement: boolean;
}

type Block =
  | { type: "thinking"; thinking: string; signature: string }
  | { type: "text"; text: string }
  | { type: "tool_use"; id: string; name: string; input: unknown; caller: { type: "direct" } };

export function messagesEncoder(head: MessageHead): Encoder {
  return new MessagesEncoder(head);
}

/** The kind of thinking block that a request asks for. */
export function thoughtsOf(
  thinking: { type: string; display?: string | null | undefined } | null | undefined,
) {
  if (!thinking || thinking.type === "disabled") return "hidden";
  return thinking.display === "omitted" ? "omitted" : "shown";
}

class MessagesEncoder implements Encoder {
  private readonly head: MessageHead;
  private readonly content: Block[] = [];
  /** What the open block has gathered: thoughts, text, or a call's JSON. */
  private gathered = "";
  private open_ = false;
  private promptTokens = 0;
  private end: { reason: FinishReason; stopSequence: string | undefined; usage: Usage } | undefined;

  constructor(head: MessageHead) {
    this.head = head;
  }

  /** Nothing before the length of the prompt is known: message_start tells it. */
  open(): Frame[] {
    return [];
  }

  keepalive(): Frame[] {
    return [frame({ type: "ping" })];
  }

  event(event: Event): Frame[] {
    switch (event.type) {
      case "started":
        this.promptTokens = event.promptTokens;
        return [frame({ type: "message_start", message: this.message() })];
      case "reasoning":
        return this.think(event.text);
      case "text":
        return this.say(event.text);
      case "call":
        return this.call(event);
      case "arguments":
        this.gathered += event.json;
        return [this.delta({ type: "input_json_delta", partial_json: event.json })];
      case "finished":
        return this.finish(event);
      case "failed":
        return [this.failed(event.failure)];
    }
    return event satisfies never;
  }

  whole(): object {
    return this.message();
  }

  private think(text: string): Frame[] {
    if (this.head.thoughts === "hidden") return [];
    const frames =
      this.last("thinking") === undefined
        ? this.start({ type: "thinking", thinking: "", signature: "" })
        : [];
    this.gathered += text;
    if (this.head.thoughts === "omitted") return frames;
    return [...frames, this.delta({ type: "thinking_delta", thinking: text })];
  }

  private say(text: string): Frame[] {
    const frames = this.last("text") === undefined ? this.start({ type: "text", text: "" }) : [];
    this.gathered += text;
    return [...frames, this.delta({ type: "text_delta", text })];
  }

  private call({ id, name }: { id: string; name: string }): Frame[] {
    return this.start({ type: "tool_use", id, name, input: {}, caller: { type: "direct" } });
  }

  private start(block: Block): Frame[] {
    const stopped = this.stop();
    this.content.push(block);
    this.open_ = true;
    const index = this.content.length - 1;
    return [...stopped, frame({ type: "content_block_start", index, content_block: { ...block } })];
  }

  private stop(): Frame[] {
    const block = this.content.at(-1);
    if (!block || !this.open_) return [];
    const signed = this.complete(block);
    this.gathered = "";
    this.open_ = false;
    return [...signed, frame({ type: "content_block_stop", index: this.content.length - 1 })];
  }

  /** Fills the block with what was gathered; thoughts are signed at their end. */
  private complete(block: Block): Frame[] {
    if (block.type === "text") block.text = this.gathered;
    if (block.type === "tool_use") block.input = readInput(this.gathered);
    if (block.type !== "thinking") return [];
    if (this.head.thoughts === "shown") block.thinking = this.gathered;
    block.signature = seal(this.gathered);
    return [this.delta({ type: "signature_delta", signature: block.signature })];
  }

  private finish(end: { reason: FinishReason; stopSequence: string | undefined; usage: Usage }): Frame[] {
    const stopped = this.stop();
    this.end = end;
    const { stop_reason, stop_sequence } = this.stopped();
    const delta = { stop_reason, stop_sequence, stop_details: null, container: null };
    const { input_tokens, cache_creation_input_tokens, cache_read_input_tokens, ...more } = this.usage();
    const { output_tokens, output_tokens_details, server_tool_use } = more;
    const usage = {
      ...{ input_tokens, cache_creation_input_tokens, cache_read_input_tokens },
      ...{ output_tokens, output_tokens_details, server_tool_use },
    };
    const last = { type: "message_delta", delta, usage, ...this.edits() };
    return [...stopped, frame(last), frame({ type: "message_stop" })];
  }

  private failed(failure: Failure): Frame {
    return frame(anthropicError(failure, this.head.requestId) as { type: string });
  }

  private message() {
    return {
      ...{ id: this.head.id, type: "message", role: "assistant", model: this.head.model },
      content: [...this.content],
      ...this.stopped(),
      ...{ stop_details: null, container: null, diagnostics: null },
      usage: this.usage(),
      ...this.edits(),
    };
  }

  private stopped(): { stop_reason: string | null; stop_sequence: string | null } {
    if (!this.end) return { stop_reason: null, stop_sequence: null };
    const { reason, stopSequence } = this.end;
    if (stopSequence !== undefined) return { stop_reason: "stop_sequence", stop_sequence: stopSequence };
    return { stop_reason: stopReasons[reason], stop_sequence: null };
  }

  /** `input_tokens` are those that were not in the cache; the three kinds of input add up to the prompt. */
  private usage() {
    const usage = this.end?.usage;
    const cached = usage?.cachedTokens ?? 0;
    return {
      input_tokens: (usage?.promptTokens || this.promptTokens) - cached,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: cached,
      cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
      output_tokens: usage?.completionTokens ?? 0,
      output_tokens_details: usage ? { thinking_tokens: usage.reasoningTokens } : null,
      ...{ server_tool_use: null, service_tier: "standard", inference_geo: null, speed: null },
    };
  }

  private edits(): object {
    return this.head.contextManagement ? { context_management: { applied_edits: [] } } : {};
  }

  private last(type: Block["type"]): Block | undefined {
    const block = this.content.at(-1);
    return this.open_ && block?.type === type ? block : undefined;
  }

  private delta(delta: object): Frame {
    return frame({ type: "content_block_delta", index: this.content.length - 1, delta });
  }
}

const stopReasons: Readonly<Record<FinishReason, string>> = {
  stop: "end_turn",
  length: "max_tokens",
  tool_calls: "tool_use",
  content_filter: "refusal",
};

/** A call that was cut off has no whole input; `stop_reason` says so. */
function readInput(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return {};
  }
}

function frame(data: { type: string; [field: string]: unknown }): Frame {
  return { event: data.type, data };
}
