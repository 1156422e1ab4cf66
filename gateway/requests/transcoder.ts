// A neuron's streamed chat completion in another dialect: bytes in, frames out, event by event. The last frames are
// held back until the caller has done what must be done before the client knows of the end.

import type { Seen } from "../wire/answer.ts";
import { blank, eventEnd, longestEvent, parse } from "../wire/answer.ts";
import type { Encoder, Event, Failure, Frame } from "../dialects/canonical.ts";
import { ChatReader } from "../dialects/chat-reader.ts";
import type { Reading } from "../wire/relay.ts";

const colon = 58;
const nothing = Buffer.alloc(0);

export class Transcoder implements Reading {
  readonly seen: Seen = blank();
  /** Why the neuron ended the answer early, by its own words or for want of a finish. */
  failure: Failure | undefined;
  /** The neuron has said how the answer ends. */
  finished = false;
  private readonly encoder: Encoder;
  private readonly reader: ChatReader;
  private readonly now: () => number;
  private held: Buffer = nothing;
  private last: Frame[] = [];

  constructor(encoder: Encoder, newId: (prefix: string) => string, now = () => performance.now()) {
    this.encoder = encoder;
    this.reader = new ChatReader(newId);
    this.now = now;
  }

  /** Throws when an event has no end. */
  push(chunk: Buffer): string {
    const bytes = this.held.length > 0 ? Buffer.concat([this.held, chunk]) : chunk;
    let start = 0;
    let text = "";
    for (
      let end = eventEnd(bytes, Math.max(0, this.held.length - 2));
      end !== -1;
      end = eventEnd(bytes, start)
    ) {
      text += this.read(bytes.subarray(start, end));
      start = end;
    }
    this.held = bytes.subarray(start);
    if (this.held.length > longestEvent) throw new Error("an event is longer than any event may be");
    return text;
  }

  /** Servers that know no [DONE] just end. */
  end(): string {
    const text = this.held.length > 0 ? this.read(this.held) : "";
    this.held = nothing;
    return this.over ? text : text + this.take(this.reader.end());
  }

  /** What the client hears last. */
  lastWords(): string {
    return toText(this.last);
  }

  private get over(): boolean {
    return this.finished || this.failure !== undefined;
  }

  private read(event: Buffer): string {
    if (event[0] === colon || this.over) return "";
    if (event.length < 24 && event.includes("[DONE]")) return this.take(this.reader.end());
    return this.take(this.reader.push(parse(event)));
  }

  private take(events: readonly Event[]): string {
    const frames: Frame[] = [];
    for (const event of events) {
      if (this.over) break;
      this.see(event);
      const made = this.encoder.event(event);
      if (this.over) this.last = made;
      else frames.push(...made);
    }
    return toText(frames);
  }

  private see(event: Event): void {
    switch (event.type) {
      case "started":
        this.seen.usage = { promptTokens: event.promptTokens, completionTokens: 0, cachedTokens: 0 };
        return;
      case "finished":
        this.finished = true;
        this.seen.usage = event.usage;
        return;
      case "failed":
        this.failure = event.failure;
        this.seen.errorCode = event.failure.code;
        return;
      default:
        this.seen.deltas++;
        this.seen.lastDeltaAt = this.now();
        this.seen.firstDeltaAt ??= this.seen.lastDeltaAt;
    }
  }
}

export function toText(frames: readonly Frame[]): string {
  return frames.map(({ event, data }) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join("");
}
