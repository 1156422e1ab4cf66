// Whole answers drawn at random and read as the daemon reads them: thoughts, text and calls come out as they must.
import { describe, expect, test } from "vitest";
import type { Tool } from "../serve/types.ts";
import { createTextStream } from "../text/stream.ts";
import type { CallForm } from "../text/template-traits.ts";
import { answerGrammar, type AnswerForm, type AnswerWishes, type Thoughts } from "./answer.ts";
import { Grammars } from "./matcher.ts";
import { accepter, draw, generator, logits, validator, vocabulary } from "./walk.fixture.ts";

const think = (begins: Thoughts["begins"]): Thoughts => ({ open: "<think>", close: "</think>", begins });
const form = (calls: CallForm | undefined, thoughts?: Thoughts): AnswerForm => ({
  calls,
  thoughts,
  dropsFirstSpace: false,
});
const wishes = (more: Partial<AnswerWishes>): AnswerWishes => ({
  ...{ format: undefined, tools: [], choice: "auto", parallel: true },
  ...more,
});

const tool = (name: string, parameters?: Record<string, unknown>, strict = true): Tool => ({
  type: "function",
  function: { name, strict, ...(parameters && { parameters }) },
});

const tools: Tool[] = [
  tool("now"),
  tool("add", {
    type: "object",
    properties: { a: { type: "integer", minimum: -5, maximum: 40 }, b: { type: ["number", "null"] } },
    required: ["a", "b"],
  }),
  tool("write", {
    type: "object",
    properties: {
      path: { type: "string" },
      mode: { enum: ["new", "newer", "append"] },
      text: { type: "string", maxLength: 8 },
      tag: { type: "string", pattern: "^[a-z<>]{1,3}$" },
      lines: { type: "array", items: { type: "string" }, maxItems: 2 },
      where: { $ref: "#/$defs/place" },
      note: { type: ["string", "null"] },
      all: { type: "boolean" },
    },
    required: ["path", "where", "mode"],
    $defs: { place: { type: "object", properties: { line: { type: "integer" } }, required: ["line"] } },
  }),
  tool("either", {
    anyOf: [
      { type: "object", properties: { id: { type: "integer" } }, required: ["id"] },
      { type: "object", properties: { name: { const: "é\nx" }, free: {} }, required: ["name"] },
    ],
  }),
];

interface Heard {
  reasoning: string;
  content: string;
  calls: { name: string; json: string }[];
  reason: string;
}

/** Reads an answer a character a token, as the daemon does. */
function read(text: string, { thoughts }: AnswerForm, known: readonly Tool[]): Heard {
  const pieces = [...text];
  const stream = createTextStream({
    tokenizer: {
      bytesOf: (id) => new TextEncoder().encode(pieces[id]),
      isSpecial: () => false,
      detokenizer: () => ({ push: (id) => pieces[id]!, flush: () => "" }),
    },
    stop: [],
    reasoning: thoughts && { ...thoughts, startsOpen: thoughts.begins === "open" },
    tools: known,
    logprobs: false,
  });
  const heard: Heard = { reasoning: "", content: "", calls: [], reason: "" };
  for (const piece of [...pieces.flatMap((_, id) => stream.push({ id })), ...stream.finish("stop")]) {
    if (piece.type === "reasoning") heard.reasoning += piece.text;
    else if (piece.type === "content") heard.content += piece.text;
    else if (piece.type === "tool_call") heard.calls.push({ name: piece.name, json: "" });
    else if (piece.type === "tool_arguments") heard.calls[piece.index]!.json += piece.json;
    else if (piece.type === "finished") heard.reason = piece.reason;
  }
  return heard;
}

/** Random answers under the wishes, as they are read. */
function answers(wished: AnswerWishes, how: AnswerForm, count = 60): Heard[] {
  const grammars = new Grammars(vocabulary, logits);
  const grammar = answerGrammar(wished, how)!;
  const texts = Array.from({ length: count }, (_, n) => draw(grammars.open(grammar), generator(n), 1500));
  const whole = texts.filter((text) => text !== undefined);
  expect(whole.length).toBeGreaterThan(count / 2);
  return whole.map((text) => read(text, how, wished.tools));
}

function expectValid(calls: Heard["calls"]): void {
  for (const { name, json } of calls) {
    const { parameters = { maxProperties: 0 } } = tools.find((each) => each.function.name === name)!.function;
    expect(validator(parameters)(JSON.parse(json)), `${name} ${json}`).toBe(true);
  }
}

const thinking: [string, Thoughts | undefined][] = [
  ["without thoughts", undefined],
  ["in thoughts", think("open")],
  ["with thoughts, maybe", think("maybe")],
  ["after thoughts", think("closed")],
];
const forms = (["xml", "json"] as const).flatMap((calls) =>
  thinking.map(([name, thoughts]) => [calls, name, form(calls, thoughts)] as const),
);

describe.each(forms)("calls in %s, %s", (_, _name, how) => {
  test("required: nothing but calls, every one valid", () => {
    const heard = answers(wishes({ tools, choice: "required" }), how);
    for (const { content, calls, reason } of heard) {
      expect([content, reason]).toEqual(["", "tool_calls"]);
      expect(calls.length).toBeGreaterThan(0);
      expectValid(calls);
    }
    const names = new Set(heard.flatMap(({ calls }) => calls.map(({ name }) => name)));
    expect([...names].sort()).toEqual(["add", "either", "now", "write"]);
    expect(heard.some(({ calls }) => calls.length > 1)).toBe(true);
    const thinks = how.thoughts?.begins === "open" || how.thoughts?.begins === "maybe";
    expect(heard.some(({ reasoning }) => reasoning !== "")).toBe(thinks);
  });

  test("named, one at most", () => {
    for (const { content, calls } of answers(
      wishes({ tools, choice: { name: "write" }, parallel: false }),
      how,
    )) {
      expect([content, calls.length, calls[0]!.name]).toEqual(["", 1, "write"]);
      expectValid(calls);
    }
  });

  test("auto and strict: text, or calls which are valid", () => {
    const heard = answers(wishes({ tools }), how, 90);
    for (const { calls } of heard) expectValid(calls);
    expect(heard.some(({ calls, content }) => calls.length === 0 && content !== "")).toBe(true);
    expect(heard.some(({ calls }) => calls.length > 0)).toBe(true);
  });

  test("auto, one at most", () => {
    const loose = tools.map(({ function: { name, parameters } }) => tool(name, parameters, false));
    const heard = answers(wishes({ tools: loose, parallel: false }), how, 90);
    for (const { calls, content } of heard) {
      expect(calls.length).toBeLessThan(2);
      expect(content).not.toContain("<tool_call>");
    }
    expect(heard.some(({ calls }) => calls.length === 1)).toBe(true);
    expect(heard.some(({ calls }) => calls.length === 0)).toBe(true);
  });

  test("a format beside tools: a value or calls", () => {
    const schema = { type: "object", properties: { x: { type: "integer" } }, required: ["x"] };
    const heard = answers(wishes({ tools, format: { type: "json_schema", schema, strict: true } }), how);
    for (const { content, calls } of heard) {
      if (calls.length > 0) expectValid(calls);
      else expect(validator(schema)(JSON.parse(content)), content).toBe(true);
    }
    expect(new Set(heard.map(({ calls }) => calls.length > 0)).size).toBe(2);
  });
});

describe.each(thinking)("a format %s", (_, thoughts) => {
  test("is all of the answer", () => {
    const how = form(undefined, thoughts);
    for (const { content, reason } of answers(wishes({ format: { type: "json_object" } }), how)) {
      expect(JSON.parse(content)).toBeTypeOf("object");
      expect(reason).toBe("stop");
    }
  });
});

const call = (body: string) => `<tool_call>\n${body}\n</tool_call>`;
const written = (path: string) =>
  `<function=write>\n<parameter=path>\n${path}\n</parameter>\n<parameter=mode>\nnew\n</parameter>\n<parameter=where>\n{"line": 3}\n</parameter>\n</function>`;

test.each<[string, Partial<AnswerWishes>, AnswerForm, string, boolean]>([
  ["a call", { choice: "required" }, form("xml"), call("<function=now>\n</function>"), true],
  [
    "a call of a tool that is not named",
    { choice: { name: "add" } },
    form("xml"),
    call("<function=now>\n</function>"),
    false,
  ],
  ["no call", { choice: "required" }, form("xml"), "No.", false],
  [
    "two calls",
    { choice: "required" },
    form("xml"),
    [1, 2].map(() => call("<function=now>\n</function>")).join("\n"),
    true,
  ],
  [
    "two calls, one at most",
    { choice: "required", parallel: false },
    form("xml"),
    [1, 2].map(() => call("<function=now>\n</function>")).join("\n"),
    false,
  ],
  [
    "a text that speaks of tags",
    { choice: "required" },
    form("xml"),
    call(written("a</parameter> b <function></function>c\n\nd")),
    true,
  ],
  [
    "a text that would be read as its own end",
    { choice: "required" },
    form("xml"),
    call(written("a</parameter> \n<parameter=x>\nb")),
    false,
  ],
  [
    "an argument out of bounds",
    { choice: "required" },
    form("xml"),
    call("<function=add>\n<parameter=a>\n41\n</parameter>\n<parameter=b>\nnull\n</parameter>\n</function>"),
    false,
  ],
  [
    "a missing argument",
    { choice: "required" },
    form("xml"),
    call("<function=add>\n<parameter=a>\n4\n</parameter>\n</function>"),
    false,
  ],
  [
    "JSON",
    { choice: "required" },
    form("json"),
    call('{"name": "add", "arguments": {"a": 4, "b": 1.5}}'),
    true,
  ],
  [
    "JSON in the wrong order",
    { choice: "required" },
    form("json"),
    call('{"arguments": {"a": 4, "b": 1.5}, "name": "add"}'),
    false,
  ],
  ["text before a call", {}, form("xml"), `Let me see.\n\n${call("<function=now>\n</function>")}`, true],
  ["text alone", {}, form("xml"), "It is 3 < 4 <function", true],
  ["a call without its tag", {}, form("xml"), "<function=now>\n</function>", false],
  ["an unknown tool", {}, form("xml"), call("<function=rm>\n</function>"), false],
  [
    "thoughts, then a call",
    { choice: "required" },
    form("xml", think("open")),
    `I must.\n</think>\n\n${call("<function=now>\n</function>")}`,
    true,
  ],
  [
    "a call among thoughts",
    { choice: "required" },
    form("xml", think("open")),
    `${call("<function=now>\n</function>")}</think>\n\n${call("<function=now>\n</function>")}`,
    false,
  ],
  [
    "thoughts that were not opened",
    { choice: "required" },
    form("xml", think("maybe")),
    `<think>\nHm\n</think>\n\n${call("<function=now>\n</function>")}`,
    true,
  ],
  [
    "thoughts when they are over",
    { choice: "required" },
    form("xml", think("closed")),
    `<think>\nHm\n</think>\n\n${call("<function=now>\n</function>")}`,
    false,
  ],
])("%s", (_, more, how, text, fits) => {
  expect(accepter(answerGrammar(wishes({ tools, ...more }), how)!.grammar)(text)).toBe(fits);
});

test("nothing is asked: nothing is held", () => {
  const loose = [tool("now", undefined, false)];
  expect(answerGrammar(wishes({}), form("xml"))).toBeUndefined();
  expect(answerGrammar(wishes({ tools: loose }), form("xml", think("open")))).toBeUndefined();
  expect(answerGrammar(wishes({ tools: loose }), form(undefined))).toBeUndefined();
});

test("a tokenizer that drops the first space may draw it", () => {
  const wished = wishes({ format: { type: "json_object" } });
  const accepts = accepter(answerGrammar(wished, { ...form(undefined), dropsFirstSpace: true })!.grammar);
  expect([accepts(" {}"), accepts("{}"), accepts("  {}")]).toEqual([true, true, false]);
});

test("an example nested without end is the caller's fault, not ours", () => {
  let example: unknown = 1;
  for (let n = 0; n < 50_000; n++) example = [example];
  const format = {
    type: "json_schema" as const,
    schema: { type: "integer", examples: [example] },
    strict: true,
  };
  expect(() => answerGrammar(wishes({ format }), form("xml"))).toThrow(
    expect.objectContaining({ code: "bad_request", details: { param: "response_format" } }),
  );
});

test("keys: equal for equal wishes alone", () => {
  const of = (more: Partial<AnswerWishes>, how = form("xml")) =>
    answerGrammar(wishes({ tools, choice: "required", ...more }), how)!.key;
  expect(of({})).toBe(of({}));
  expect(
    new Set([of({}), of({ parallel: false }), of({ choice: { name: "now" } }), of({}, form("json"))]).size,
  ).toBe(4);
});

test.each<[string, Partial<AnswerWishes>, AnswerForm, string, string]>([
  [
    "a name that is not there",
    { tools, choice: { name: "rm" } },
    form("xml"),
    "tool_choice.function.name",
    "bad_request",
  ],
  [
    "no form of calls",
    { tools, choice: "required" },
    form(undefined),
    "tool_choice",
    "unsupported_parameter",
  ],
  ["no form of strict calls", { tools }, form(undefined), "tools", "unsupported_parameter"],
  [
    "parameters that are no object",
    { tools: [tool("f", { type: "string" })] },
    form("xml"),
    "tools.0.function.parameters",
    "bad_request",
  ],
  [
    "a strict tool",
    { tools: [tool("g"), tool("f", { type: "object", properties: { a: { not: {} } } })] },
    form("xml"),
    "tools.1.function.parameters.properties.a.not",
    "bad_request",
  ],
  [
    "a name that XML cannot say",
    { tools: [tool("a>b")] },
    form("xml"),
    "tools.0.function.name",
    "bad_request",
  ],
  [
    "a parameter that XML cannot say",
    { tools: [tool("f", { properties: { "a>": {} } })] },
    form("xml"),
    "tools.0.function.parameters.properties.a>",
    "bad_request",
  ],
  [
    "a schema",
    { format: { type: "json_schema", schema: { type: "x" }, strict: false } },
    form("xml"),
    "response_format.json_schema.schema.type",
    "bad_request",
  ],
  [
    "no value",
    { format: { type: "json_schema", schema: false, strict: false } },
    form("xml"),
    "response_format.json_schema.schema",
    "bad_request",
  ],
])("refused: %s", (_, more, how, param, code) => {
  expect(() => answerGrammar(wishes(more), how)).toThrow(
    expect.objectContaining({ code, details: { param } }),
  );
});
