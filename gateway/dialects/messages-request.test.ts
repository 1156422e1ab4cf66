import type * as v from "valibot";
import { describe, expect, test } from "vitest";
import { chatMessages } from "./chat.ts";
import { check } from "./check.ts";
import * as clients from "./clients.fixture.ts";
import { CountBody, MessagesBody } from "./messages-body.ts";
import { toCount, toRequest } from "./messages-request.ts";
import { seal } from "./seal.ts";
import type { Json } from "./streams.fixture.ts";

const base = { model: "demo", max_tokens: 9, messages: [{ role: "user", content: "hi" }] };
const read = (body: Json) => toRequest(check(MessagesBody, body));
const items = (messages: Json[]) => read({ ...base, messages }).items;
const words = (text: string) => ({ type: "text", text });
const user = (...content: Json[]) => ({ role: "user", content });
const assistant = (...content: Json[]) => ({ role: "assistant", content });

describe("system", () => {
  test.each<[string, Json, Json[]]>([
    ["a text", "be brief", [words("be brief")]],
    [
      "blocks",
      [words("a"), { ...words("b"), cache_control: { type: "ephemeral" } }],
      [words("a"), words("b")],
    ],
    ["the billing line goes", [words("x-anthropic-billing-header: cc=1;"), words("a")], [words("a")]],
    [
      "nothing else goes",
      [words("about x-anthropic-billing-header:")],
      [words("about x-anthropic-billing-header:")],
    ],
  ])("%s", (_, system, parts) => {
    expect(read({ ...base, system }).items[0]).toEqual({ type: "message", role: "system", parts });
  });
  test.each([[undefined], [null], [[]], [[words("x-anthropic-billing-header: 1")]]])(
    "%o is none",
    (system) => {
      expect(read({ ...base, system }).items).toHaveLength(1);
    },
  );
  test("within the messages it stays in its place", () => {
    const messages = [
      user(words("a")),
      { role: "system", content: "s" },
      assistant(words("b")),
      user(words("c")),
    ];
    expect(items(messages).map((item) => (item.type === "message" ? item.role : item.type))).toEqual([
      ...["user", "system", "assistant", "user"],
    ]);
  });
});

const image = { type: "image", source: { type: "base64", media_type: "image/jpeg", data: "AA" } };
const picture = { type: "image", url: "data:image/jpeg;base64,AA" };

test.each<[string, Json, Json[]]>([
  ["a text", { role: "user", content: "a" }, [{ type: "message", role: "user", parts: [words("a")] }]],
  ["an empty text", { role: "user", content: "" }, [{ type: "message", role: "user", parts: [] }]],
  ["null", { role: "assistant", content: null }, [{ type: "message", role: "assistant", parts: [] }]],
  ["no blocks", user(), [{ type: "message", role: "user", parts: [] }]],
  [
    "texts and pictures of one turn",
    user(words("a"), image, words("b")),
    [{ type: "message", role: "user", parts: [words("a"), picture, words("b")] }],
  ],
  [
    "a picture by address",
    user({ type: "image", source: { type: "url", url: "https://x/y.png" } }),
    [{ type: "message", role: "user", parts: [{ type: "image", url: "https://x/y.png" }] }],
  ],
  [
    "a document of text",
    user({ type: "document", title: "T", source: { type: "text", media_type: "text/plain", data: "d" } }),
    [{ type: "message", role: "user", parts: [words("T"), words("d")] }],
  ],
  [
    "a document of blocks",
    user({ type: "document", source: { type: "content", content: [words("d"), image] } }),
    [{ type: "message", role: "user", parts: [words("d"), picture] }],
  ],
  [
    "a kind of block that nobody here knows",
    user({ type: "tool_change", added: ["x"] }),
    [{ type: "message", role: "user", parts: [words('{"type":"tool_change","added":["x"]}')] }],
  ],
  [
    "a whole turn",
    assistant({ type: "thinking", thinking: "t", signature: "s" }, words("a"), {
      ...{ type: "tool_use", id: "toolu_1", name: "f", input: { x: [1, "é"] } },
    }),
    [
      { type: "reasoning", text: "t" },
      { type: "message", role: "assistant", parts: [words("a")] },
      { type: "call", id: "toolu_1", name: "f", arguments: '{"x":[1,"é"]}' },
    ],
  ],
  [
    "thoughts out of their signature",
    assistant({ type: "thinking", thinking: "", signature: seal("hidden") }, words("a")),
    [
      { type: "reasoning", text: "hidden" },
      { type: "message", role: "assistant", parts: [words("a")] },
    ],
  ],
  [
    "thoughts of another model's that nobody can read",
    assistant(
      { type: "thinking", thinking: "", signature: "" },
      { type: "redacted_thinking", data: "xyz" },
      words("a"),
    ),
    [{ type: "message", role: "assistant", parts: [words("a")] }],
  ],
  [
    "a server's own call and its result",
    assistant(
      { type: "server_tool_use", id: "srv_1", name: "web_search", input: { query: "q" } },
      {
        type: "web_search_tool_result",
        tool_use_id: "srv_1",
        content: [{ type: "web_search_result", url: "u" }],
      },
    ),
    [
      { type: "call", id: "srv_1", name: "web_search", arguments: '{"query":"q"}' },
      {
        type: "result",
        id: "srv_1",
        parts: [words('{"type":"web_search_result","url":"u"}')],
        failed: false,
      },
    ],
  ],
  ...(
    [
      ["none", undefined, []],
      ["null", null, []],
      ["an empty text", "", []],
      ["a text", "x", [words("x")]],
      ["texts", [words("x"), words("y")], [words("x"), words("y")]],
      ["a picture", [image], [picture]],
      ["a text and a picture", [words("x"), image], [words("x"), picture]],
      [
        "a reference",
        [{ type: "tool_reference", tool_name: "T" }],
        [words('{"type":"tool_reference","tool_name":"T"}')],
      ],
      [
        "an object",
        { type: "web_search_tool_result_error" },
        [words('{"type":"web_search_tool_result_error"}')],
      ],
    ] as [string, Json, Json[]][]
  ).map(([name, content, parts]): [string, Json, Json[]] => [
    `a result of ${name}`,
    user({ type: "tool_result", tool_use_id: "t1", content, is_error: true }),
    [{ type: "result", id: "t1", parts, failed: true }],
  ]),
])("%s", (_, message, want) => expect(items([message])).toEqual(want));

test("a message that ends with the assistant's words is to be continued; with a call or system it is not", () => {
  expect(read({ ...base, messages: [user(words("a")), assistant(words("{"))] }).continues).toBe(true);
  expect(read(base).continues).toBe(false);
  const then = { role: "system", content: "s" };
  expect(read({ ...base, messages: [user(words("a")), assistant(words("{")), then] }).continues).toBe(false);
});

const f = { name: "f", input_schema: { type: "object" } };
const search = { type: "web_search_20250305", name: "web_search" };

test.each<[string, Json, Json]>([
  ["auto by default", { tools: [f] }, { choice: "auto", parallelCalls: true }],
  ["auto", { tools: [f], tool_choice: { type: "auto" } }, { choice: "auto" }],
  ["any", { tools: [f], tool_choice: { type: "any" } }, { choice: "required" }],
  ["none", { tools: [f], tool_choice: { type: "none" } }, { choice: "none" }],
  ["one", { tools: [f], tool_choice: { type: "tool", name: "f" } }, { choice: { name: "f" } }],
  [
    "one at a time",
    { tools: [f], tool_choice: { type: "auto", disable_parallel_tool_use: true } },
    { choice: "auto", parallelCalls: false },
  ],
  [
    "a tool that is skipped",
    { tools: [search], tool_choice: { type: "tool", name: "web_search" } },
    { choice: "auto", tools: [] },
  ],
  [
    "custom by name",
    { tools: [{ ...f, type: "custom", description: "d", strict: true }] },
    {
      tools: [{ name: "f", description: "d", parameters: { type: "object" }, strict: true }],
    },
  ],
  [
    "no schema",
    { tools: [{ name: "g" }, search] },
    { tools: [{ name: "g", parameters: { type: "object", properties: {} } }] },
  ],
  ["effort", { output_config: { effort: "medium" } }, { effort: "medium" }],
  ["more effort than templates know", { output_config: { effort: "max" } }, { effort: "high" }],
  ["thinking", { thinking: { type: "between_tools" } }, { thinking: true }],
  ["no thinking", {}, { thinking: false }],
  [
    "a schema",
    { output_config: { format: { type: "json_schema", schema: { type: "object" } } } },
    { format: { type: "json_schema", name: "answer", schema: { type: "object" } } },
  ],
  [
    "a schema, as it once was",
    { output_format: { type: "json_schema", schema: { type: "object" } } },
    { format: { type: "json_schema" } },
  ],
  [
    "the options",
    { stop_sequences: ["a"], temperature: 0.5, top_p: 0.9, top_k: 40 },
    { options: { maxTokens: 9, stop: ["a"], temperature: 0.5, topP: 0.9, topK: 40 } },
  ],
  [
    "null is not said",
    { stop_sequences: null, temperature: null, tools: null, tool_choice: null, system: null },
    {
      options: { maxTokens: 9 },
      tools: [],
    },
  ],
])("%s", (_, more, want) => expect(read({ ...base, ...more })).toMatchObject(want));

test.each<[string, Json, string, string]>([
  ["no model", { model: undefined }, "model", "model: Field required"],
  ["no max_tokens", { max_tokens: undefined }, "max_tokens", "max_tokens: Field required"],
  ["max_tokens of zero", { max_tokens: 0 }, "max_tokens", ">=1"],
  ["no messages", { messages: undefined }, "messages", "Field required"],
  ["empty messages", { messages: [] }, "messages", "at least one message"],
  ["a message that is none", { messages: ["x"] }, "messages.0", "Object"],
  ["a role that is none", { messages: [{ role: "tool", content: "x" }] }, "messages.0.role", "tool"],
  [
    "content that is a number",
    { messages: [user("x"), { role: "user", content: 7 }] },
    "messages.0.content.0",
    "Object",
  ],
  ["a number as content", { messages: [{ role: "user", content: 7 }] }, "messages.0.content", "string"],
  [
    "a block without a type",
    { messages: [user({ text: "x" })] },
    "messages.0.content.0.type",
    "Field required",
  ],
  [
    "text without text",
    { messages: [user({ type: "text" })] },
    "messages.0.content.0.text",
    "Field required",
  ],
  [
    "a nameless call",
    { messages: [assistant({ type: "tool_use", id: "a" })] },
    "messages.0.content.0.name",
    "Field required",
  ],
  [
    "input that is a text",
    { messages: [assistant({ type: "tool_use", id: "a", name: "b", input: "x" })] },
    ...(["messages.0.content.0.input", "Expected Object"] as const),
  ],
  [
    "a result of nobody",
    { messages: [user({ type: "tool_result" })] },
    "messages.0.content.0.tool_use_id",
    "Field required",
  ],
  [
    "a picture in a file",
    {
      messages: [
        user({
          type: "tool_result",
          tool_use_id: "t",
          content: [{ type: "image", source: { type: "file" } }],
        }),
      ],
    },
    ...(["messages.0.content.0.content.0.source.type", "file is not supported"] as const),
  ],
  [
    "a PDF",
    { messages: [user({ type: "document", source: { type: "base64", data: "" } })] },
    "messages.0.content.0.source.type",
    "base64",
  ],
  ["a nameless tool", { tools: [f, {}] }, "tools.1.name", "Field required"],
  [
    "a choice of nothing there",
    { tools: [f], tool_choice: { type: "tool", name: "g" } },
    "tool_choice.name",
    '"g"',
  ],
  [
    "a choice without a name",
    { tools: [f], tool_choice: { type: "tool" } },
    "tool_choice.name",
    "Field required",
  ],
  ["a choice that is none", { tool_choice: { type: "x" } }, "tool_choice.type", "x"],
  ["a hot temperature", { temperature: 3 }, "temperature", "<=2"],
  ["a server of tools", { mcp_servers: [{ url: "x" }] }, "mcp_servers", "not supported"],
])("%s is refused with its path", (_, more, param, message) => {
  expect(() => read({ ...base, ...more })).toThrow(
    expect.objectContaining({ param, message: expect.stringContaining(message) as string }) as Error,
  );
});

test.each(clients.messagesRequests)("%s is read", (_, body) => {
  expect(chatMessages(read(body).items).length).toBeGreaterThan(0);
});

test("Claude Code's second turn as a chat", () => {
  const request = read(clients.claudeCodeTools);
  expect(request).toMatchObject({ thinking: true, effort: "high", choice: "auto" });
  expect(request.tools.map(({ name }) => name)).toEqual(["Bash", "Later"]);
  const call = (id: string, command: string) => ({
    ...{ id, type: "function", function: { name: "Bash", arguments: JSON.stringify({ command }) } },
  });
  expect(chatMessages(request.items)).toEqual([
    { role: "system", content: "You are a coding agent.\n\nWork in /tmp." },
    {
      role: "user",
      content:
        "<system-reminder>a</system-reminder>\n<system-reminder>b</system-reminder>\nRun echo and look.",
    },
    { role: "system", content: "Tools may change." },
    {
      role: "assistant",
      content: "I look.",
      tool_calls: [call("toolu_0", "ls"), call("toolu_1", "cat a.png")],
    },
    { role: "tool", tool_call_id: "toolu_1", content: "" },
    { role: "tool", tool_call_id: "toolu_0", content: "Error: a.png" },
    {
      role: "user",
      content: [{ type: "image_url", image_url: { url: `data:image/png;base64,${clients.pixel}` } }],
    },
  ]);
});

test("a count needs no max_tokens", () => {
  const body: v.InferOutput<typeof CountBody> = check(CountBody, clients.claudeCodeCount);
  expect(toCount(body)).toMatchObject({ model: "demo", options: {}, tools: [{ name: "Bash" }] });
});
