// What a stream of each dialect must look like, as a machine that walks along it and puts the answer together the way
// a client does. Every rule that is broken throws, with the event.

import type { Event, Frame } from "./canonical.ts";

// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Json = any;

/** The events of a stream's text; throws at anything that is not `event: …` and `data: {…}`. */
export function framesOf(text: string): Frame[] {
  if (!text.endsWith("\n\n") && text !== "") throw new Error(`half an event at the end: ${text.slice(-80)}`);
  return text
    .split("\n\n")
    .slice(0, -1)
    .map((block) => {
      const match = /^event: (\S+)\ndata: (\{.*\})$/.exec(block);
      if (!match) throw new Error(`no event: ${block}`);
      return { event: match[1]!, data: JSON.parse(match[2]!) as object };
    });
}

/** The frames of an answer, as they are on the wire: later changes of what a frame holds must not show. */
export function encodeAll(encoder: { open(): Frame[]; event(e: Event): Frame[] }, events: readonly Event[]) {
  const frames = [...encoder.open(), ...events.flatMap((e) => structuredClone(encoder.event(e)))];
  return JSON.parse(JSON.stringify(frames)) as Frame[];
}

/** Anthropic's: the message, and the error it ended with. Throws when it does not end. */
export function readMessage(frames: readonly Frame[]): { message: Json; error: Json } {
  const machine = new MessageMachine();
  for (const frame of frames) machine.take(frame);
  if (machine.state !== "stopped" && machine.state !== "failed")
    throw new Error(`the stream ends in state ${machine.state}`);
  return machine;
}

class MessageMachine {
  message: Json;
  error: Json;
  state: "before" | "blocks" | "delta" | "stopped" | "failed" = "before";
  private open: Json;
  private json = "";
  private frame: Frame | undefined;

  take(frame: Frame): void {
    this.frame = frame;
    const data = frame.data as Json;
    this.must(frame.event === data.type && this.state !== "stopped" && this.state !== "failed");
    const step: ((data: Json) => void) | undefined = this.steps[data.type];
    this.must(step);
    step!(data);
  }

  private readonly steps: Record<string, (data: Json) => void> = {
    ping: () => {},
    error: (data) => {
      this.error = data;
      this.state = "failed";
    },
    message_start: ({ message }) => {
      this.must(this.state === "before" && message.content.length === 0);
      this.must(message.stop_reason === null && message.usage.input_tokens >= 0);
      this.message = structuredClone(message);
      this.state = "blocks";
    },
    content_block_start: ({ index, content_block }) => {
      this.must(this.state === "blocks" && !this.open && index === this.message.content.length);
      this.must(["text", "thinking", "tool_use"].includes(content_block.type));
      this.open = { ...content_block };
      this.json = "";
      this.message.content.push(this.open);
    },
    content_block_delta: ({ index, delta }) => {
      this.must(this.state === "blocks" && this.open && index === this.message.content.length - 1);
      this.grow(delta);
    },
    content_block_stop: ({ index }) => {
      this.must(this.open && index === this.message.content.length - 1);
      this.must(this.open.type !== "thinking" || this.open.signature !== "");
      if (this.open.type === "tool_use") this.open.input = readInput(this.json);
      this.open = undefined;
    },
    message_delta: ({ delta, usage }) => {
      this.must(this.state === "blocks" && !this.open && typeof delta.stop_reason === "string");
      Object.assign(this.message, delta);
      Object.assign(this.message.usage, usage);
      this.state = "delta";
    },
    message_stop: () => {
      this.must(this.state === "delta");
      this.state = "stopped";
    },
  };

  private grow(delta: Json): void {
    const { open } = this;
    if (delta.type === "text_delta") {
      this.must(open.type === "text" && delta.text !== "");
      open.text += delta.text;
    } else if (delta.type === "thinking_delta") {
      this.must(open.type === "thinking" && open.signature === "");
      open.thinking += delta.thinking;
    } else if (delta.type === "signature_delta") {
      this.must(open.type === "thinking" && delta.signature !== "");
      open.signature = delta.signature;
    } else {
      this.must(delta.type === "input_json_delta" && open.type === "tool_use");
      this.json += delta.partial_json;
    }
  }

  private must(holds: unknown): void {
    if (!holds) throw new Error(`in state ${this.state}: ${JSON.stringify(this.frame)}`);
  }
}

function readInput(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return {};
  }
}

/** OpenAI's: the response of the last event, which must be what the events before it add up to. */
export function readResponse(frames: readonly Frame[]): { response: Json; error: Json } {
  const machine = new ResponseMachine();
  for (const frame of frames) machine.take(frame);
  if (!machine.ended) throw new Error(`the stream ends with ${frames.at(-1)?.event}`);
  return machine;
}

/** The events of a part: added, delta, done, part done; and the list that it lies in. */
const partEvents: Record<string, { list: string; index: string; names: string[] }> = {
  output_text: {
    ...{ list: "content", index: "content_index" },
    names: ["content_part.added", "output_text.delta", "output_text.done", "content_part.done"],
  },
  reasoning_text: {
    ...{ list: "content", index: "content_index" },
    names: ["content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done"],
  },
  summary_text: {
    ...{ list: "summary", index: "summary_index" },
    names: ["part.added", "text.delta", "text.done", "part.done"].map((name) => `reasoning_summary_${name}`),
  },
};

class ResponseMachine {
  response: Json;
  error: Json;
  ended = false;
  private readonly output: Json[] = [];
  private item: Json;
  private part: Json;
  private place: Json;
  private count = 0;
  private frame: Frame | undefined;

  take(frame: Frame): void {
    this.frame = frame;
    const data = frame.data as Json;
    this.must(frame.event === data.type && data.sequence_number === this.count && !this.ended);
    const order = ["response.created", "response.in_progress"][this.count++];
    this.must(order === undefined || data.type === order);
    if (data.response) this.whole(data);
    else if (data.type === "error") this.fail(data);
    else if (data.type === "response.output_item.added") this.begin(data);
    else this.grow(data, data.type.slice("response.".length));
  }

  private whole({ type, response }: Json): void {
    this.must(this.response === undefined || this.response.id === response.id);
    const failed = type === "response.failed";
    this.must(failed || JSON.stringify(response.output) === JSON.stringify(this.output));
    this.must(response.status === (type === "response.created" ? "in_progress" : type.slice(9)));
    this.ended = response.status !== "in_progress";
    this.must(!this.ended || failed || !this.item);
    this.response = response;
  }

  private fail(data: Json): void {
    const told = typeof data.message === "string" && data.code !== undefined;
    this.must(told && data.error.message === data.message);
    this.error = data;
  }

  private begin({ output_index, item }: Json): void {
    this.must(!this.item && output_index === this.output.length && item.status === "in_progress");
    this.must(!this.output.some(({ id }) => id === item.id));
    this.item = structuredClone(item);
    this.output.push(this.item);
  }

  private grow(data: Json, name: string): void {
    const { item } = this;
    this.must(item && data.output_index === this.output.length - 1);
    if (name === "output_item.done") {
      this.must(!this.part && data.item.id === item.id && data.item.status !== "in_progress");
      this.must(item.type !== "function_call" || data.item.arguments === item.arguments);
      this.output[this.output.length - 1] = data.item;
      this.item = undefined;
      return;
    }
    this.must(data.item_id === item.id);
    if (name === "function_call_arguments.delta") {
      this.must(item.type === "function_call");
      item.arguments += data.delta;
    } else if (name === "function_call_arguments.done")
      this.must(data.arguments === item.arguments && data.name === item.name);
    else if (data.part && !this.part) this.beginPart(data, name);
    else this.growPart(data, name);
  }

  private beginPart(data: Json, name: string): void {
    this.part = structuredClone(data.part);
    this.place = { ...partEvents[this.part.type], done: false };
    const list = this.item[this.place.list];
    this.must(
      name === this.place.names[0] && data[this.place.index] === list.length && this.part.text === "",
    );
    list.push(this.part);
  }

  private growPart(data: Json, name: string): void {
    const { part, place } = this;
    this.must(part && data[place.index] === this.item[place.list].length - 1);
    if (name === place.names[1]) part.text += data.delta;
    else if (name === place.names[2]) {
      this.must(data.text === part.text);
      place.done = true;
    } else {
      this.must(name === place.names[3] && place.done && data.part.text === part.text);
      this.part = undefined;
    }
  }

  private must(holds: unknown): void {
    if (!holds) throw new Error(`event ${this.count - 1}: ${JSON.stringify(this.frame)}`);
  }
}
