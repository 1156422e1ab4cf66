// The answer as it grows: token ids in; text, thoughts and tool calls out. Four stages, each text in and text out:
// detokenise → stop strings → reasoning → tool calls. Stop strings see the raw text, thoughts and calls included,
// as vLLM's do. Pure: no clock, and the only chance is in the ids of calls, which a caller may choose.

import type { Candidate, FinishReason, Tool, TokenLogprob } from "../serve/types.ts";
import type { Run } from "./held.ts";
import { ReasoningSplitter } from "./reasoning.ts";
import type { ReasoningMarkers, ReasoningPiece } from "./reasoning.ts";
import { createStopFinder } from "./stop.ts";
import { callOpenings, ToolParser } from "./toolcalls.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** TextEvents but for the usage, which the caller knows. */
export type TextPiece =
  | ({ type: "reasoning" | "content" } & Run)
  | { type: "tool_call"; index: number; id: string; name: string }
  | { type: "tool_arguments"; index: number; json: string }
  | { type: "finished"; reason: FinishReason; stopSequence: string | undefined };

export interface StreamToken {
  id: number;
  logprob?: number;
  top?: readonly Candidate[];
}

export interface TextStreamOptions {
  tokenizer: Pick<Tokenizer, "bytesOf" | "isSpecial" | "detokenizer">;
  /** Texts that end the answer; not part of it. */
  stop: readonly string[];
  /** Undefined leaves markers in the text, as a plain completion wants it. */
  reasoning: (ReasoningMarkers & { startsOpen: boolean }) | undefined;
  /** Undefined, or none, leaves tool calls in the text. */
  tools: readonly Tool[] | undefined;
  /** Whether pieces carry the log-probabilities of their tokens; tokens without visible text carry none. */
  logprobs: boolean;
  /** The text continues the prompt's last line, so a SentencePiece tokenizer's first space stays. Default false. */
  continues?: boolean;
  /** Default: "call_" and 24 random hex digits. */
  callId?: (index: number) => string;
}

export interface TextStream {
  push(token: StreamToken): TextPiece[];
  /** The rest and, last, `finished`: "tool_calls" when the model ended by itself and had made one. */
  finish(reason: "stop" | "length"): TextPiece[];
  /** Set when a stop string was found: nothing that is pushed later is seen, so generation can end. */
  readonly stopped: boolean;
  /** Tokens that were drawn while a reasoning block was open. */
  readonly reasoningTokens: number;
}

export function createTextStream(options: TextStreamOptions): TextStream {
  const { tokenizer } = options;
  const detokenizer = tokenizer.detokenizer({ continues: options.continues ?? false });
  const stop = createStopFinder(options.stop);
  const reasoning = reasoningStage(options);
  const tools = options.tools?.length
    ? new ToolParser(options.tools, options.callId ?? randomCallId)
    : undefined;
  let fragments: TokenLogprob[] = []; // of tokens which have not completed a character yet
  let reasoningTokens = 0;

  function runOf(text: string): Run {
    const run = { text, logprobs: text === "" ? [] : fragments };
    if (text !== "") fragments = [];
    return run;
  }

  function throughTools(pieces: readonly ReasoningPiece[]): TextPiece[] {
    if (!tools) return [...pieces];
    return pieces.flatMap((piece): TextPiece[] => (piece.type === "content" ? tools.push(piece) : [piece]));
  }

  function push(token: StreamToken): TextPiece[] {
    if (stop.hit() !== undefined) return [];
    if (options.logprobs && !tokenizer.isSpecial(token.id)) fragments.push(tokenLogprob(tokenizer, token));
    const run = stop.push(runOf(detokenizer.push(token.id)));
    const pieces = throughTools(reasoning.push(run));
    if (reasoning.open) reasoningTokens += 1;
    return merged(pieces);
  }

  function finish(reason: "stop" | "length"): TextPiece[] {
    const open = stop.hit() === undefined ? stop.push(runOf(detokenizer.flush())) : runOf("");
    const rest = [...reasoning.push(open), ...reasoning.push(stop.finish()), ...reasoning.finish()];
    const stopSequence = stop.hit();
    const whole = reason === "stop" && stopSequence === undefined;
    const pieces = [...throughTools(rest), ...(tools?.finish(whole) ?? [])];
    // The last bytes may have completed a stop string although the model ran to its limit.
    const ended = stopSequence === undefined ? reason : "stop";
    const called = whole && tools !== undefined && tools.calls > 0;
    return merged([...pieces, { type: "finished", reason: called ? "tool_calls" : ended, stopSequence }]);
  }

  return {
    push,
    finish,
    get stopped() {
      return stop.hit() !== undefined;
    },
    get reasoningTokens() {
      return reasoningTokens;
    },
  };
}

interface ReasoningStage {
  push(run: Run): ReasoningPiece[];
  finish(): ReasoningPiece[];
  readonly open: boolean;
}

function reasoningStage({ reasoning, tools }: TextStreamOptions): ReasoningStage {
  // Qwen3.5 at times calls a tool without closing its thoughts; the call's first line is unmistakable.
  if (reasoning) return new ReasoningSplitter({ ...reasoning, endedBy: tools?.length ? callOpenings : [] });
  return {
    push: (run) => (run.text === "" ? [] : [{ type: "content", ...run }]),
    finish: () => [],
    open: false,
  };
}

/** Neighbours of one kind become one piece. */
function merged(pieces: readonly TextPiece[]): TextPiece[] {
  const result: TextPiece[] = [];
  for (const piece of pieces) {
    const last = result.at(-1);
    if ((piece.type === "content" || piece.type === "reasoning") && last?.type === piece.type) {
      last.text += piece.text;
      last.logprobs.push(...piece.logprobs);
    } else if (piece.type === "tool_arguments" && last?.type === piece.type && last.index === piece.index)
      last.json += piece.json;
    else result.push(piece);
  }
  return result;
}

function tokenLogprob(tokenizer: TextStreamOptions["tokenizer"], token: StreamToken): TokenLogprob {
  const described = (id: number, logprob: number) => {
    const bytes = tokenizer.bytesOf(id);
    return { id, text: new TextDecoder().decode(bytes), bytes: [...bytes], logprob };
  };
  if (token.logprob === undefined) throw new Error(`token ${token.id} came without its logprob`);
  return {
    ...described(token.id, token.logprob),
    top: (token.top ?? []).map((candidate) => described(candidate.id, candidate.logprob)),
  };
}

function randomCallId(): string {
  return `call_${globalThis.crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`;
}
