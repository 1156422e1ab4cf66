// What answers in OpenAI's dialect look like, for the API documents and their tests; the dialect itself is OpenAI's.

import * as v from "valibot";
import { Timings, Usage } from "./protocol.ts";

const Text = v.string();
const Count = v.pipe(v.number(), v.integer());
const FinishReason = v.nullable(v.picklist(["stop", "length", "tool_calls"]));
const Logprobs = v.nullish(v.nullable(v.looseObject({})));
const FunctionCall = v.looseObject({ name: v.exactOptional(Text), arguments: Text });

const head = { id: Text, created: Count, model: Text };

const Choice = {
  index: Count,
  logprobs: Logprobs,
  finish_reason: FinishReason,
  stop_reason: v.exactOptional(Text),
};

export const ChatCompletion = v.looseObject({
  ...head,
  object: v.literal("chat.completion"),
  choices: v.array(
    v.looseObject({
      ...Choice,
      message: v.looseObject({
        role: v.literal("assistant"),
        content: v.nullable(Text),
        reasoning_content: v.exactOptional(Text),
        tool_calls: v.exactOptional(
          v.array(v.looseObject({ id: Text, type: v.literal("function"), function: FunctionCall })),
        ),
      }),
    }),
  ),
  usage: Usage,
  timings: v.exactOptional(Timings),
});

/** The data of one event; the last event is `[DONE]`. */
export const ChatChunk = v.looseObject({
  ...head,
  object: v.literal("chat.completion.chunk"),
  choices: v.array(
    v.looseObject({
      ...Choice,
      delta: v.looseObject({
        role: v.exactOptional(Text),
        content: v.exactOptional(v.nullable(Text)),
        reasoning_content: v.exactOptional(Text),
        tool_calls: v.exactOptional(v.array(v.looseObject({ index: Count, function: FunctionCall }))),
      }),
    }),
  ),
  usage: v.exactOptional(v.nullable(Usage)),
  timings: v.exactOptional(Timings),
});

/** Of a chunk, too. */
export const TextCompletion = v.looseObject({
  ...head,
  object: v.literal("text_completion"),
  choices: v.array(v.looseObject({ ...Choice, text: Text })),
  usage: v.exactOptional(v.nullable(Usage)),
  timings: v.exactOptional(Timings),
});

export const ModelCard = v.looseObject({
  id: Text,
  object: v.literal("model"),
  created: Count,
  owned_by: Text,
  context_length: v.exactOptional(Count),
  max_model_len: v.exactOptional(Count),
  capabilities: v.exactOptional(v.array(Text)),
  tool_call: v.exactOptional(v.boolean()),
  reasoning: v.exactOptional(v.boolean()),
});

export const ModelCards = v.looseObject({ object: v.literal("list"), data: v.array(ModelCard) });

export const EmbeddingList = v.looseObject({
  object: v.literal("list"),
  model: Text,
  data: v.array(
    v.looseObject({
      object: v.literal("embedding"),
      index: Count,
      /** Numbers, or their bytes as float32 in base64. */
      embedding: v.union([v.array(v.number()), Text]),
    }),
  ),
  usage: v.looseObject({ prompt_tokens: Count, total_tokens: Count }),
});
