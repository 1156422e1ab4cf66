// The bodies of /v1/chat/completions, /v1/completions and /v1/embeddings. Unknown keys pass, as OpenAI's clients send many; a key that
// we know is checked here, and refused in refusals.ts when it asks for what we do not do. Null stands for "not said".

import * as v from "valibot";

const Text = v.string();
const Flag = v.boolean();
const Integer = v.pipe(v.number(), v.integer());
const between = (low: number, high: number) => v.pipe(v.number(), v.minValue(low), v.maxValue(high));

/** Not v.record: that takes an array, too. */
const Dictionary = v.custom<Record<string, unknown>>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  (issue) => `Invalid type: Expected Object but received ${issue.received}`,
);

const TextPart = v.looseObject({ type: v.picklist(["text"]), text: Text });
const RefusalPart = v.looseObject({ type: v.literal("refusal"), refusal: Text });
const ImagePart = v.looseObject({ type: v.literal("image_url"), image_url: v.looseObject({ url: Text }) });
/** Kinds that OpenAI has and we do not: named when refused. */
const ForeignPart = v.looseObject({ type: v.picklist(["input_audio", "file", "video_url", "audio_url"]) });
const Part = v.variant("type", [TextPart, RefusalPart, ImagePart, ForeignPart]);
export type Part = v.InferOutput<typeof Part>;

// Chosen by what came, so that an error names the field inside a part and not only "content".
const Content = v.nullish(v.lazy((input) => (Array.isArray(input) ? v.array(Part) : Text)));

const ToolCall = v.looseObject({
  id: v.nullish(Text),
  type: v.nullish(Text),
  function: v.looseObject({
    name: Text,
    arguments: v.lazy((input) => (typeof input === "string" ? Text : Dictionary)),
  }),
});

export const Message = v.looseObject({
  role: v.picklist(["system", "developer", "user", "assistant", "tool"]),
  content: Content,
  reasoning_content: v.nullish(Text),
  name: v.nullish(Text),
  tool_calls: v.nullish(v.array(ToolCall)),
  tool_call_id: v.nullish(Text),
});
export type Message = v.InferOutput<typeof Message>;

const ToolEntry = v.looseObject({
  type: Text,
  function: v.nullish(
    v.looseObject({
      name: v.pipe(Text, v.nonEmpty()),
      description: v.nullish(Text),
      parameters: v.nullish(Dictionary),
      strict: v.nullish(Flag),
    }),
  ),
});
export type ToolEntry = v.InferOutput<typeof ToolEntry>;

const NamedTool = v.looseObject({ type: v.literal("function"), function: v.looseObject({ name: Text }) });
/** Kinds that OpenAI has and we do not: named when refused. */
const ForeignChoice = v.looseObject({ type: v.picklist(["allowed_tools", "custom"]) });
const NamedChoice = v.variant("type", [NamedTool, ForeignChoice]);
const ToolChoice = v.nullish(
  v.lazy((input) => (typeof input === "string" ? v.picklist(["auto", "none", "required"]) : NamedChoice)),
);

const JsonSchema = v.looseObject({
  type: v.literal("json_schema"),
  json_schema: v.looseObject({ name: v.nullish(Text), schema: Dictionary, strict: v.nullish(Flag) }),
});
const ResponseFormat = v.variant("type", [
  JsonSchema,
  v.looseObject({ type: v.picklist(["text", "json_object"]) }),
]);

const StopText = v.pipe(Text, v.nonEmpty());
const Stop = v.nullish(
  v.lazy((input) => (Array.isArray(input) ? v.pipe(v.array(StopText), v.maxLength(16)) : StopText)),
);

const TokenId = v.pipe(Text, v.regex(/^\d+$/, "expected a token id as the key"));

const common = {
  model: v.pipe(Text, v.nonEmpty()),
  stream: v.nullish(Flag),
  stream_options: v.nullish(v.looseObject({ include_usage: v.nullish(Flag), prompt_usage: v.nullish(Flag) })),
  max_tokens: v.nullish(v.pipe(Integer, v.minValue(1))),
  temperature: v.nullish(between(0, 2)),
  top_p: v.nullish(between(0, 1)),
  /** 0 or -1 keeps all. */
  top_k: v.nullish(v.pipe(Integer, v.minValue(-1))),
  min_p: v.nullish(between(0, 1)),
  seed: v.nullish(v.pipe(v.number(), v.safeInteger())),
  stop: Stop,
  repetition_penalty: v.nullish(v.pipe(v.number(), v.gtValue(0), v.maxValue(10))),
  presence_penalty: v.nullish(between(-2, 2)),
  frequency_penalty: v.nullish(between(-2, 2)),
  logit_bias: v.nullish(v.record(TokenId, between(-100, 100))),
  n: v.nullish(v.pipe(Integer, v.minValue(1), v.maxValue(16))),
  user: v.nullish(Text),
};

export const ChatBody = v.looseObject({
  ...common,
  messages: v.pipe(v.array(Message), v.nonEmpty("expected at least one message")),
  max_completion_tokens: v.nullish(v.pipe(Integer, v.minValue(1))),
  logprobs: v.nullish(Flag),
  top_logprobs: v.nullish(v.pipe(Integer, v.minValue(0), v.maxValue(20))),
  tools: v.nullish(v.array(ToolEntry)),
  tool_choice: ToolChoice,
  parallel_tool_calls: v.nullish(Flag),
  response_format: v.nullish(ResponseFormat),
  chat_template_kwargs: v.nullish(Dictionary),
  /** The last message is the assistant's and unfinished: the answer goes on behind it. */
  continue_final_message: v.nullish(Flag),
  add_generation_prompt: v.nullish(Flag),
  enable_thinking: v.nullish(Flag),
  reasoning_effort: v.nullish(Text),
  store: v.nullish(Flag),
  metadata: v.nullish(Dictionary),
});
export type ChatBody = v.InferOutput<typeof ChatBody>;

const Token = v.pipe(Integer, v.minValue(0));
const Prompt = v.lazy((input) => {
  if (!Array.isArray(input)) return Text;
  if (typeof input[0] === "number") return v.array(Token);
  return v.pipe(v.array(Array.isArray(input[0]) ? v.array(Token) : Text), v.nonEmpty());
});

export const CompletionBody = v.looseObject({
  ...common,
  prompt: Prompt,
  /** How many alternatives to report for each token. */
  logprobs: v.nullish(v.pipe(Integer, v.minValue(0), v.maxValue(20))),
  echo: v.nullish(Flag),
  best_of: v.nullish(Integer),
  suffix: v.nullish(Text),
});
export type CompletionBody = v.InferOutput<typeof CompletionBody>;

const EmbeddingInput = v.lazy((input) => {
  if (!Array.isArray(input)) return Text;
  if (typeof input[0] === "number") return v.array(Token);
  return v.array(Array.isArray(input[0]) ? v.array(Token) : Text);
});

export const EmbeddingBody = v.looseObject({
  model: Text,
  /** A text, token ids, or a list of either. */
  input: EmbeddingInput,
  dimensions: v.nullish(v.pipe(Integer, v.minValue(1))),
  encoding_format: v.nullish(v.picklist(["float", "base64"])),
  user: v.nullish(Text),
});
export type EmbeddingBody = v.InferOutput<typeof EmbeddingBody>;
