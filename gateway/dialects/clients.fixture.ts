// Requests in the shapes that real clients were seen to send (versions as named), shortened in their texts.

import type { Json } from "./streams.fixture.ts";

export const pixel =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const ephemeral = { cache_control: { type: "ephemeral" } };
const bash = {
  name: "Bash",
  description: "Runs a command",
  input_schema: {
    ...{ $schema: "https://json-schema.org/draft/2020-12/schema", type: "object" },
    ...{ properties: { command: { type: "string" } }, required: ["command"], additionalProperties: false },
  },
};
const userId = JSON.stringify({ device_id: "d".repeat(64), account_uuid: "", session_id: "5e55-1" });

/** Claude Code 2.1.329, first turn: POST /v1/messages?beta=true. */
export const claudeCode: Json = {
  model: "demo",
  max_tokens: 32000,
  stream: true,
  thinking: { type: "adaptive", display: "omitted" },
  context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] },
  output_config: { effort: "high" },
  metadata: { user_id: userId },
  system: [
    { type: "text", text: "x-anthropic-billing-header: cc_version=2.1.329.abc; cc_entrypoint=cli;" },
    { type: "text", text: "You are a coding agent.", ...ephemeral },
    { type: "text", text: "Work in /tmp.", ...ephemeral },
  ],
  messages: [
    {
      role: "user",
      content: [
        { type: "text", text: "<system-reminder>a</system-reminder>" },
        { type: "text", text: "<system-reminder>b</system-reminder>" },
        { type: "text", text: "Run echo and look." },
      ],
    },
    { role: "system", content: [{ type: "text", text: "Tools may change.", ...ephemeral }] },
  ],
  tools: [bash, { ...bash, name: "Later", defer_loading: true }],
};

/** The second turn: thoughts replayed, results in the order of completion, a picture in one. */
export const claudeCodeTools: Json = {
  ...claudeCode,
  messages: [
    ...claudeCode.messages,
    {
      role: "assistant",
      content: [
        { type: "thinking", thinking: "", signature: "" },
        { type: "text", text: "I look." },
        { type: "tool_use", id: "toolu_0", name: "Bash", input: { command: "ls" } },
        { type: "tool_use", id: "toolu_1", name: "Bash", input: { command: "cat a.png" } },
      ],
    },
    {
      role: "user",
      content: [
        {
          type: "tool_result",
          tool_use_id: "toolu_1",
          content: [{ type: "image", source: { type: "base64", media_type: "image/png", data: pixel } }],
          is_error: false,
        },
        { type: "tool_result", tool_use_id: "toolu_0", content: "a.png", is_error: true, ...ephemeral },
      ],
    },
  ],
};

/** Claude Code's web search: a nested request with nothing but a tool of Anthropic's. */
export const claudeCodeSearch: Json = {
  ...{ model: "demo", max_tokens: 4096, stream: true },
  messages: [{ role: "user", content: "Search for x" }],
  tools: [{ type: "web_search_20250305", name: "web_search", max_uses: 8 }],
  tool_choice: { type: "tool", name: "web_search" },
};

/** Claude Code's /context, two dozen at once: POST /v1/messages/count_tokens?beta=true. */
export const claudeCodeCount: Json = {
  model: "demo",
  messages: [{ role: "user", content: "foo" }],
  tools: [bash],
};

/** pi 0.73.1 by anthropic-messages. */
export const piMessages: Json = {
  ...{ model: "demo", max_tokens: 8192, stream: true },
  thinking: { type: "enabled", budget_tokens: 7168, display: "summarized" },
  system: [{ type: "text", text: "You are pi.", ...ephemeral }],
  messages: [{ role: "user", content: [{ type: "text", text: "hi", ...ephemeral }] }],
  tools: [{ ...bash, eager_input_streaming: true, ...ephemeral }],
};

const codexTools = [
  {
    ...{ type: "function", name: "exec_command", description: "Runs", strict: false },
    parameters: { type: "object", properties: { cmd: { type: "string" } }, required: ["cmd"] },
  },
  {
    type: "namespace",
    name: "multi_agent_v1",
    description: "Agents",
    tools: [{ type: "function", name: "x" }],
  },
  { type: "web_search", external_web_access: false },
];

/** Codex 0.169: no instructions, the base prompt is the first item; POST /v1/responses. */
export const codex: Json = {
  ...{ model: "demo", stream: true, store: false, tool_choice: "auto", parallel_tool_calls: true },
  reasoning: { summary: "auto" },
  include: ["reasoning.encrypted_content"],
  prompt_cache_key: "thread-1",
  client_metadata: { x: "y" },
  tools: codexTools,
  input: [
    { type: "message", role: "developer", content: [{ type: "input_text", text: "You are Codex." }] },
    { type: "message", role: "user", content: [{ type: "input_text", text: "<environment/>" }] },
    { type: "message", role: "user", content: [{ type: "input_text", text: "List files" }] },
  ],
};

/** Codex's second turn: reasoning without anything in it, calls with id and status, outputs as text and as a list. */
export const codexTools2: Json = {
  ...codex,
  input: [
    ...codex.input,
    { type: "reasoning", id: "rs_1", summary: [], content: null, encrypted_content: null },
    {
      ...{ type: "function_call", id: "fc_1", status: "completed", call_id: "call_1", name: "exec_command" },
      arguments: '{"cmd":"ls"}',
    },
    {
      ...{ type: "function_call", id: "fc_2", status: "completed", call_id: "call_2", name: "view_image" },
      arguments: '{"path":"a.png"}',
    },
    { type: "function_call_output", call_id: "call_1", output: "a.png" },
    {
      ...{ type: "function_call_output", call_id: "call_2" },
      output: [{ type: "input_image", image_url: `data:image/png;base64,${pixel}` }],
    },
  ],
};

/** `codex --output-schema`. */
export const codexSchema: Json = {
  ...codex,
  text: {
    format: {
      ...{ type: "json_schema", strict: true, name: "codex_output_schema" },
      schema: { type: "object", properties: { a: { type: "string" } }, required: ["a"] },
    },
  },
};

/** Codex's probe of a local server. */
export const codexProbe: Json = { model: "demo", input: "", max_output_tokens: 1 };

/** opencode 1.18.33 by @ai-sdk/openai: system as items, messages without a type. */
export const opencodeResponses: Json = {
  ...{ model: "demo", stream: true, store: false, max_output_tokens: 8192, prompt_cache_key: "ses_1" },
  input: [
    { role: "system", content: "You are opencode." },
    { role: "user", content: [{ type: "input_text", text: "hi" }] },
    { role: "assistant", content: [{ type: "output_text", text: "Hello." }], id: "msg_1" },
    { role: "user", content: [{ type: "input_text", text: "again" }] },
  ],
  tools: [
    { type: "function", name: "read", description: "Reads", parameters: { type: "object" }, strict: null },
  ],
  tool_choice: "auto",
};

export const messagesRequests: [string, Json][] = [
  ["Claude Code, first turn", claudeCode],
  ["Claude Code, with tools", claudeCodeTools],
  ["Claude Code, web search", claudeCodeSearch],
  ["pi", piMessages],
];

export const responsesRequests: [string, Json][] = [
  ["Codex, first turn", codex],
  ["Codex, with tools", codexTools2],
  ["Codex, output schema", codexSchema],
  ["Codex, probe", codexProbe],
  ["opencode", opencodeResponses],
];
