// The bodies of Anthropic's POST /v1/messages and /v1/messages/count_tokens. Unknown fields pass: clients send new ones
// with every release.

import * as v from "valibot";
import { between, Dictionary, Flag, Name, Text, textOr, Tokens } from "./check.ts";

/** Checked further by type in messages-request.ts: kinds of blocks come and go. */
export const Block = v.looseObject({ type: Text });
export type Block = v.InferOutput<typeof Block>;

export const TextBlock = v.looseObject({ text: Text });
export const ThinkingBlock = v.looseObject({ thinking: v.nullish(Text), signature: v.nullish(Text) });
export const RedactedBlock = v.looseObject({ data: v.nullish(Text) });
export const ToolUseBlock = v.looseObject({ id: Name, name: Name, input: v.nullish(Dictionary) });
export const ToolResultBlock = v.looseObject({
  tool_use_id: Name,
  content: v.optional(v.unknown()),
  is_error: v.nullish(Flag),
});
export const ImageBlock = v.looseObject({
  source: v.looseObject({
    type: Text,
    media_type: v.nullish(Text),
    data: v.nullish(Text),
    url: v.nullish(Text),
  }),
});
export const DocumentBlock = v.looseObject({
  source: v.looseObject({ type: Text, data: v.nullish(Text), content: v.optional(v.unknown()) }),
  title: v.nullish(Text),
  context: v.nullish(Text),
});

/** What holds text or blocks. */
export const Blocks = textOr(Block);

const Message = v.looseObject({
  role: v.picklist(["user", "assistant", "system"]),
  content: v.nullish(Blocks),
});
export type Message = v.InferOutput<typeof Message>;

const ToolEntry = v.looseObject({
  type: v.nullish(Text),
  name: v.nullish(Text),
  description: v.nullish(Text),
  input_schema: v.nullish(Dictionary),
  strict: v.nullish(Flag),
});

const JsonFormat = v.looseObject({ type: v.literal("json_schema"), schema: Dictionary });

const Thread = v.variant("type", [
  v.looseObject({ type: v.literal("create") }),
  v.looseObject({ type: v.literal("continue"), previous_message_id: Name }),
]);

const common = {
  model: Name,
  messages: v.pipe(v.array(Message), v.nonEmpty("at least one message is required")),
  /** The server holds the conversation; a turn that continues it brings its new messages alone. */
  thread: v.nullish(Thread),
  system: v.nullish(textOr(v.looseObject({ type: v.literal("text"), text: Text }))),
  thinking: v.nullish(v.looseObject({ type: Text, display: v.nullish(Text) })),
  tools: v.nullish(v.array(ToolEntry)),
  tool_choice: v.nullish(
    v.looseObject({
      type: v.picklist(["auto", "any", "tool", "none"]),
      name: v.nullish(Text),
      disable_parallel_tool_use: v.nullish(Flag),
    }),
  ),
  output_config: v.nullish(v.looseObject({ effort: v.nullish(Text), format: v.nullish(JsonFormat) })),
  output_format: v.nullish(JsonFormat),
};

export const CountBody = v.looseObject(common);
export type CountBody = v.InferOutput<typeof CountBody>;

export const MessagesBody = v.looseObject({
  ...common,
  max_tokens: Tokens,
  stream: v.nullish(Flag),
  stop_sequences: v.nullish(v.array(Text)),
  temperature: v.nullish(between(0, 2)),
  top_p: v.nullish(between(0, 1)),
  top_k: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0))),
  mcp_servers: v.nullish(v.array(v.unknown())),
});
export type MessagesBody = v.InferOutput<typeof MessagesBody>;
