// The body of OpenAI's POST /v1/responses. Unknown fields pass; null stands for "not said".

import * as v from "valibot";
import { between, Dictionary, Flag, Name, Text, textOr, Tokens } from "./check.ts";

/** A message may leave out its type; checked further by type in responses-request.ts. */
export const InputItem = v.looseObject({ type: v.nullish(Text), role: v.nullish(Text), id: v.nullish(Text) });
export type InputItem = v.InferOutput<typeof InputItem>;

export const ContentPart = v.looseObject({ type: Text });
export type ContentPart = v.InferOutput<typeof ContentPart>;
const Content = textOr(ContentPart);

export const MessageItem = v.looseObject({
  role: v.picklist(["user", "assistant", "system", "developer"]),
  content: v.nullish(Content),
});
export const CallItem = v.looseObject({ call_id: Name, name: Name, arguments: Text });
export const CustomCallItem = v.looseObject({ call_id: Name, name: Name, input: Text });
export const OutputItem = v.looseObject({ call_id: Name, output: v.nullish(Content) });

const Texts = v.nullish(v.array(v.looseObject({ type: Text, text: v.nullish(Text) })));
export const ReasoningItem = v.looseObject({
  summary: Texts,
  content: Texts,
  encrypted_content: v.nullish(Text),
});
export const ReferenceItem = v.looseObject({ id: Name });

export const TextPart = v.looseObject({ text: Text });
export const RefusalPart = v.looseObject({ refusal: Text });
export const ImagePart = v.looseObject({
  image_url: v.nullish(Text),
  file_id: v.nullish(Text),
  detail: v.nullish(Text),
});

const ToolEntry = v.looseObject({
  type: Text,
  name: v.nullish(Text),
  description: v.nullish(Text),
  parameters: v.nullish(Dictionary),
  strict: v.nullish(Flag),
});
export type ToolEntry = v.InferOutput<typeof ToolEntry>;

const ToolChoice = v.looseObject({
  type: Text,
  name: v.nullish(Text),
  mode: v.nullish(v.picklist(["auto", "required"])),
  tools: v.nullish(v.array(v.looseObject({ type: v.nullish(Text), name: v.nullish(Text) }))),
});

const Format = v.looseObject({
  type: v.picklist(["text", "json_object", "json_schema"]),
  name: v.nullish(Text),
  schema: v.nullish(Dictionary),
  description: v.nullish(Text),
  strict: v.nullish(Flag),
});

export const ResponsesBody = v.looseObject({
  model: Name,
  input: v.nullish(textOr(InputItem)),
  instructions: v.nullish(Text),
  previous_response_id: v.nullish(Name),
  stream: v.nullish(Flag),
  store: v.nullish(Flag),
  background: v.nullish(Flag),
  max_output_tokens: v.nullish(Tokens),
  max_tool_calls: v.nullish(v.pipe(v.number(), v.integer())),
  temperature: v.nullish(between(0, 2)),
  top_p: v.nullish(between(0, 1)),
  presence_penalty: v.nullish(between(-2, 2)),
  frequency_penalty: v.nullish(between(-2, 2)),
  top_logprobs: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(20))),
  tools: v.nullish(v.array(ToolEntry)),
  tool_choice: v.nullish(
    v.lazy((input) =>
      typeof input === "string" ? v.picklist(["auto", "none", "required"]) : ToolChoice,
    ) as v.GenericSchema<unknown, "auto" | "none" | "required" | v.InferOutput<typeof ToolChoice>>,
  ),
  parallel_tool_calls: v.nullish(Flag),
  reasoning: v.nullish(v.looseObject({ effort: v.nullish(Text), summary: v.nullish(Text) })),
  text: v.nullish(v.looseObject({ format: v.nullish(Format), verbosity: v.nullish(Text) })),
  include: v.nullish(v.array(Text)),
  truncation: v.nullish(Text),
  metadata: v.nullish(
    v.pipe(
      Dictionary,
      v.check((m) => Object.keys(m).length <= 16, "at most 16 keys"),
    ),
  ),
  prompt_cache_key: v.nullish(Text),
  safety_identifier: v.nullish(Text),
  user: v.nullish(Text),
});
export type ResponsesBody = v.InferOutput<typeof ResponsesBody>;

/** POST /v1/responses/input_tokens reads the same fields. */
export const InputTokensBody = v.looseObject({ ...ResponsesBody.entries, stream: v.optional(v.unknown()) });
