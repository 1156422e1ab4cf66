import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Tool } from "../serve/types.ts";
import { createDetokenizer } from "./detokenize.ts";
import type { TokenSource } from "./detokenize.ts";
import { demoFolder, demoModel } from "./fixtures.fixture.ts";
import { createTextStream } from "./stream.ts";
import type { TextPiece, TextStream, TextStreamOptions } from "./stream.ts";
import { loadTokenizer } from "./tokenizer.ts";

const think = { open: "<think>", close: "</think>", startsOpen: false };
const opened = { ...think, startsOpen: true };

const tools: Tool[] = [
  {
    type: "function",
    function: {
      name: "write",
      parameters: {
        type: "object",
        properties: {
          path: { type: "string" },
          text: { $ref: "#/$defs/Text" },
          line: { type: "integer" },
          ratio: { type: "number" },
          force: { type: "boolean" },
          lines: { type: "array" },
          meta: { type: ["object", "null"] },
          note: { anyOf: [{ type: "string" }, { type: "null" }] },
          mode: { enum: ["a", "w"] },
          any: {},
        },
        $defs: { Text: { type: "string" } },
      },
    },
  },
  { type: "function", function: { name: "now" } },
];

/** A vocabulary made for one test: token i is piece i. */
function piecesAsTokens(pieces: readonly (string | Uint8Array)[]): TextStreamOptions["tokenizer"] {
  const bytes = pieces.map((piece) => (typeof piece === "string" ? new TextEncoder().encode(piece) : piece));
  const source: TokenSource = {
    bytesOf: (id) => bytes[id]!,
    isSpecial: (id) => pieces[id] === "<|im_end|>",
    dropsFirstSpace: false,
  };
  return { ...source, detokenizer: (options) => createDetokenizer(source, options) };
}

type Settings = Partial<Omit<TextStreamOptions, "tokenizer">> & { end?: "stop" | "length" };

function streamOf(pieces: readonly (string | Uint8Array)[], settings: Settings): TextStream {
  return createTextStream({
    stop: [],
    reasoning: undefined,
    tools: undefined,
    logprobs: false,
    callId: (index) => `call_${index}`,
    ...settings,
    tokenizer: piecesAsTokens(pieces),
  });
}

function run(pieces: readonly (string | Uint8Array)[], settings: Settings = {}): TextPiece[] {
  const stream = streamOf(pieces, settings);
  return [
    ...pieces.flatMap((_, id) => stream.push({ id, logprob: -id })),
    ...stream.finish(settings.end ?? "stop"),
  ];
}

/** The events with neighbours joined, in a short form. */
function merged(pieces: readonly TextPiece[]): string[][] {
  const result: string[][] = [];
  for (const piece of pieces) {
    const last = result.at(-1);
    if (piece.type === "finished") result.push([piece.reason, ...(piece.stopSequence ?? "").split(/^$/)]);
    else if (piece.type === "tool_call") result.push(["call", piece.id, piece.name]);
    else {
      const text = piece.type === "tool_arguments" ? piece.json : piece.text;
      const kind = piece.type === "tool_arguments" ? "json" : piece.type;
      if (last?.[0] === kind) last[1] += text;
      else result.push([kind, text]);
    }
  }
  return result;
}

const xml = (name: string, ...parameters: [string, string][]) =>
  `<tool_call>\n<function=${name}>\n` +
  parameters.map(([key, value]) => `<parameter=${key}>\n${value}\n</parameter>\n`).join("") +
  "</function>\n</tool_call>";

interface Case {
  name: string;
  text: string;
  settings?: Settings;
  want: string[][];
}

const stopCases: Case[] = [
  { name: "plain text", text: "Hello, 🙂 world", want: [["content", "Hello, 🙂 world"], ["stop"]] },
  { name: "nothing", text: "", want: [["stop"]] },
  {
    name: "cut at the limit",
    text: "Hel",
    settings: { end: "length" },
    want: [["content", "Hel"], ["length"]],
  },
  {
    name: "a stop string, text after it discarded",
    text: "one STOP two STOP",
    settings: { stop: ["STOP"] },
    want: [
      ["content", "one "],
      ["stop", "STOP"],
    ],
  },
  {
    name: "a beginning of a stop string is only held back",
    text: "STO STOPPE ST",
    settings: { stop: ["STOPPED", "ST!"] },
    want: [["content", "STO STOPPE ST"], ["stop"]],
  },
  {
    name: "a stop string that begins inside another's beginning",
    text: "aaab--",
    settings: { stop: ["aab"] },
    want: [
      ["content", "a"],
      ["stop", "aab"],
    ],
  },
  {
    name: "the stop string that is complete first wins",
    text: "xabcy",
    settings: { stop: ["abcy", "bc", "c"] },
    want: [
      ["content", "xa"],
      ["stop", "bc"],
    ],
  },
  {
    name: "a stop string wins over the limit",
    text: "a\n\n",
    settings: { stop: ["\n\n"], end: "length" },
    want: [
      ["content", "a"],
      ["stop", "\n\n"],
    ],
  },
  {
    name: "a stop string at the very start",
    text: "END",
    settings: { stop: ["END"] },
    want: [["stop", "END"]],
  },
];

const reasoningCases: Case[] = [
  {
    name: "a block opened by the model",
    text: "<think>\nwhy\n\nnot\n</think>\n\nYes.\n",
    settings: { reasoning: think },
    want: [["reasoning", "why\n\nnot"], ["content", "Yes.\n"], ["stop"]],
  },
  {
    name: "a block opened by the prompt",
    text: "why\n</think>\n\n  Yes.",
    settings: { reasoning: opened },
    want: [["reasoning", "why"], ["content", "  Yes."], ["stop"]],
  },
  {
    name: "opened by the prompt and once more by the model",
    text: "<think>\nwhy</think>Yes.",
    settings: { reasoning: opened },
    want: [["reasoning", "why"], ["content", "Yes."], ["stop"]],
  },
  {
    name: "cut off in mid-thought: all is reasoning",
    text: "why do I <think> of </thi",
    settings: { reasoning: opened, end: "length" },
    want: [["reasoning", "why do I <think> of </thi"], ["length"]],
  },
  {
    name: "no thoughts",
    text: "\n Yes <thin",
    settings: { reasoning: think },
    want: [["content", "\n Yes <thin"], ["stop"]],
  },
  {
    name: "an empty block, then a second one",
    text: "<think>\n\n</think>\n<think>a</think>\n\nb",
    settings: { reasoning: think },
    want: [["reasoning", "a"], ["content", "b"], ["stop"]],
  },
  {
    name: "a stray close marker before the answer",
    text: "\n</think>\n\nYes.",
    settings: { reasoning: think },
    want: [["content", "Yes."], ["stop"]],
  },
  {
    name: "markers inside the answer are text",
    text: "<think>x</think>Write <think> and </think>.",
    settings: { reasoning: think },
    want: [["reasoning", "x"], ["content", "Write <think> and </think>."], ["stop"]],
  },
  {
    name: "other markers",
    text: "[THINK]hm[/THINK]Oui",
    settings: { reasoning: { open: "[THINK]", close: "[/THINK]", startsOpen: false } },
    want: [["reasoning", "hm"], ["content", "Oui"], ["stop"]],
  },
  {
    name: "only white space behind the close marker",
    text: "x</think>\n\n",
    settings: { reasoning: opened },
    want: [["reasoning", "x"], ["stop"]],
  },
  {
    name: "no reasoning asked for: the markers are text",
    text: "<think>x</think>y",
    want: [["content", "<think>x</think>y"], ["stop"]],
  },
  {
    name: "a call closes forgotten thoughts",
    text: `I call it.\n${xml("now")}\n</think>\n`,
    settings: { reasoning: opened, tools },
    want: [["reasoning", "I call it."], ["call", "call_0", "now"], ["json", "{}"], ["tool_calls"]],
  },
  {
    name: "a call marker in thoughts is a thought",
    text: "use <tool_call> now</think>ok",
    settings: { reasoning: opened, tools },
    want: [["reasoning", "use <tool_call> now"], ["content", "ok"], ["stop"]],
  },
  {
    name: "a stop string in the thoughts ends the answer",
    text: "a\nObservation: b</think>c",
    settings: { reasoning: opened, stop: ["Observation:"] },
    want: [
      ["reasoning", "a\n"],
      ["stop", "Observation:"],
    ],
  },
];

const xmlCases: Case[] = [
  {
    name: "thoughts, text, two calls",
    text: `hm</think>\n\nLet me see.\n\n${xml("write", ["path", "a.txt"], ["line", "3"])}\n${xml("now")}`,
    settings: { reasoning: opened, tools },
    want: [
      ["reasoning", "hm"],
      ["content", "Let me see."],
      ["call", "call_0", "write"],
      ["json", '{"path":"a.txt","line":3}'],
      ["call", "call_1", "now"],
      ["json", "{}"],
      ["tool_calls"],
    ],
  },
  {
    name: "every type of the schema",
    text: xml(
      "write",
      ["path", '"q" \\ \t€🙂'],
      ["text", "\n two\n\nlines \n"],
      ["line", " 12345678901234567890 "],
      ["ratio", "-.5"],
      ["force", "True"],
      ["lines", '[1, "a\\n"]'],
      ["meta", "null"],
      ["note", "null"],
      ["mode", "5"],
      ["any", '{"a": [true]}'],
      ["other", "plain text"],
      ["number", "7.25"],
    ),
    settings: { tools },
    want: [
      ["call", "call_0", "write"],
      [
        "json",
        '{"path":"\\"q\\" \\\\ \\t€🙂","text":"\\n two\\n\\nlines \\n","line":12345678901234567890,"ratio":-0.5,' +
          '"force":true,"lines":[1, "a\\n"],"meta":null,"note":null,"mode":"5","any":{"a": [true]},' +
          '"other":"plain text","number":7.25}',
      ],
      ["tool_calls"],
    ],
  },
  {
    name: "values that are not of their type stay text",
    text: xml("write", ["line", "3 or 4"], ["force", "maybe"], ["lines", "[1,"], ["ratio", "007"]),
    settings: { tools },
    want: [
      ["call", "call_0", "write"],
      ["json", '{"line":"3 or 4","force":"maybe","lines":"[1,","ratio":7}'],
      ["tool_calls"],
    ],
  },
  {
    name: "a value that speaks of tags",
    text: xml(
      "write",
      ["path", "x</parameter> y\n</function>\nz <parameter=q>\n</tool_call>"],
      ["line", "1"],
    ),
    settings: { tools },
    want: [
      ["call", "call_0", "write"],
      ["json", '{"path":"x</parameter> y\\n</function>\\nz <parameter=q>\\n</tool_call>","line":1}'],
      ["tool_calls"],
    ],
  },
  {
    name: "an empty value, and no newlines at all",
    text: "<tool_call><function=write><parameter=path>\n</parameter><parameter=line>1</parameter></function></tool_call>",
    settings: { tools },
    want: [["call", "call_0", "write"], ["json", '{"path":"","line":1}'], ["tool_calls"]],
  },
  {
    name: "two functions in one block, and text behind it",
    text: "<tool_call>\n<function=now>\n</function>\n<function=now>\n</function>\n</tool_call>\n\nDone. ",
    settings: { tools },
    want: [
      ["call", "call_0", "now"],
      ["json", "{}"],
      ["call", "call_1", "now"],
      ["json", "{}"],
      ["content", "Done. "],
      ["tool_calls"],
    ],
  },
  {
    name: "a forgotten <tool_call> before a tool we have",
    text: "ok\n<function=now>\n</function>\n</tool_call>",
    settings: { tools },
    want: [["content", "ok"], ["call", "call_0", "now"], ["json", "{}"], ["tool_calls"]],
  },
  {
    name: "a bare function that is no tool is text",
    text: "<function=foo> is how it starts",
    settings: { tools },
    want: [["content", "<function=foo> is how it starts"], ["stop"]],
  },
  {
    name: "forgotten closing tags, the model having ended by itself",
    text: "<tool_call>\n<function=write>\n<parameter=path>\na\n</parameter>\n<parameter=text>\nb\n",
    settings: { tools },
    want: [["call", "call_0", "write"], ["json", '{"path":"a","text":"b"}'], ["tool_calls"]],
  },
  {
    name: "cut off in a value: the JSON stays open",
    text: "<tool_call>\n<function=write>\n<parameter=path>\nrm -rf /tmp",
    settings: { tools, end: "length" },
    want: [["call", "call_0", "write"], ["json", '{"path":"rm -rf /tmp'], ["length"]],
  },
  {
    name: "cut off by a stop string in a call",
    text: "<tool_call>\n<function=write>\n<parameter=path>\nrm -rf /tmp\n</parameter>",
    settings: { tools, stop: ["/tmp"] },
    want: [
      ["call", "call_0", "write"],
      ["json", '{"path":"rm -rf '],
      ["stop", "/tmp"],
    ],
  },
  {
    name: "cut off before the name: given back as text",
    text: "a\n<tool_call>\n<function=wri",
    settings: { tools, end: "length" },
    want: [["content", "a\n<tool_call>\n<function=wri"], ["length"]],
  },
  {
    name: "no tools: calls are text",
    text: xml("now"),
    settings: { tools: [] },
    want: [["content", xml("now")], ["stop"]],
  },
  {
    name: "trailing white space without a call is kept",
    text: "a \n\n",
    settings: { tools },
    want: [["content", "a \n\n"], ["stop"]],
  },
];

const json = (body: string) => `<tool_call>\n${body}\n</tool_call>`;

const jsonCases: Case[] = [
  {
    name: "name, then arguments",
    text: `Sure.\n${json('{"name": "write", "arguments": {"path": "a </tool_call> {\\"", "line": [1, {"b": 2}]}}')}\n`,
    settings: { tools },
    want: [
      ["content", "Sure."],
      ["call", "call_0", "write"],
      ["json", '{"path": "a </tool_call> {\\"", "line": [1, {"b": 2}]}'],
      ["tool_calls"],
    ],
  },
  {
    name: "arguments before the name, other members, other spacing",
    text: json('{ "id":7 ,"parameters" : {"a":{}} , "name":"now","x":[] }'),
    settings: { tools },
    want: [["call", "call_0", "now"], ["json", '{"a":{}}'], ["tool_calls"]],
  },
  {
    name: "no arguments, null arguments",
    text: json('{"name": "now"}') + json('{"name": "now", "arguments": null}'),
    settings: { tools },
    want: [
      ["call", "call_0", "now"],
      ["json", "{}"],
      ["call", "call_1", "now"],
      ["json", "{}"],
      ["tool_calls"],
    ],
  },
  {
    name: "arguments as a string of JSON",
    text: json('{"name": "write", "arguments": "{\\"path\\": \\"a\\"}"}'),
    settings: { tools },
    want: [["call", "call_0", "write"], ["json", '{"path": "a"}'], ["tool_calls"]],
  },
  {
    name: "a raw line break inside a string is repaired",
    text: json('{"name": "write", "arguments": {"path": "a\nb"}}'),
    settings: { tools },
    want: [["call", "call_0", "write"], ["json", '{"path": "a\\nb"}'], ["tool_calls"]],
  },
  {
    name: "a lost bracket is repaired",
    text: json('{"name": "write", "arguments": {"path": ["a"') + "bye",
    settings: { tools },
    want: [["call", "call_0", "write"], ["json", '{"path": ["a"\n]}'], ["content", "bye"], ["tool_calls"]],
  },
  {
    name: "the outer bracket lost, and the closing tag too",
    text: '<tool_call>{"name": "now", "arguments": {}',
    settings: { tools },
    want: [["call", "call_0", "now"], ["json", "{}"], ["tool_calls"]],
  },
  {
    name: "ended by the model inside a string: closed",
    text: '<tool_call>{"name": "write", "arguments": {"path": "a\\',
    settings: { tools },
    want: [["call", "call_0", "write"], ["json", '{"path": "a\\\\"}'], ["tool_calls"]],
  },
  {
    name: "cut off: left open",
    text: '<tool_call>{"name": "write", "arguments": {"path": "a',
    settings: { tools, end: "length" },
    want: [["call", "call_0", "write"], ["json", '{"path": "a'], ["length"]],
  },
  ...[
    "not a call",
    "{'name': 'now'}",
    '{"arguments": {}}',
    '{"name": "", "arguments": {}}',
    '{"name": 5}',
    '{"name": "now", "arguments": 5}',
    '[{"name": "now"}]',
    "<function=>",
    "<function=a\nb>",
    "",
  ].map((body) => ({
    name: `no call, given back as it was: ${body}`,
    text: `a \n${json(body)} b`,
    settings: { tools },
    want: [["content", `a \n${json(body)} b`], ["stop"]],
  })),
  {
    name: "a good call behind a bad one",
    text: `${json("oops")}\n${json('{"name":"now"}')}`,
    settings: { tools },
    want: [["content", json("oops")], ["call", "call_0", "now"], ["json", "{}"], ["tool_calls"]],
  },
];

/** Ways to cut a text into tokens: whole, every character, every single cut, and many random ones. */
function* cuttings(text: string): Generator<string[]> {
  const characters = [...text];
  yield [text];
  yield characters;
  for (let i = 1; i < characters.length; i++)
    yield [characters.slice(0, i).join(""), characters.slice(i).join("")];
  let state = 99;
  const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
  for (let n = 0; n < 60; n++) {
    const pieces = [""];
    const density = random();
    for (const character of characters) {
      if (random() < density) pieces.push("");
      pieces[pieces.length - 1] += character;
    }
    yield pieces;
  }
}

describe.each([
  ["stop strings", stopCases],
  ["reasoning", reasoningCases],
  ["tool calls in XML", xmlCases],
  ["tool calls in JSON", jsonCases],
])("%s", (_, cases) => {
  test.each(cases)("$name", ({ text, settings, want }) => {
    for (const pieces of cuttings(text)) {
      const got = merged(run(pieces, settings));
      if (JSON.stringify(got) !== JSON.stringify(want))
        expect({ pieces, got }).toEqual({ pieces, got: want });
    }
  });

  test.each(cases)("no token is reported twice, nor without its text: $name", ({ text, settings }) => {
    for (const pieces of cuttings(text)) {
      const events = run(pieces, { ...settings, logprobs: true });
      const reported = events.flatMap((event) => ("logprobs" in event ? event.logprobs : []));
      const ids = reported.map((token) => token.id);
      expect(new Set(ids).size).toBe(ids.length);
      expect(ids).toEqual(ids.toSorted((a, b) => a - b));
      const kinds = events.some((event) => event.type === "tool_call" || event.type === "reasoning");
      if (!kinds && !settings?.stop && !settings?.reasoning)
        expect(reported.map((token) => token.text).join("")).toBe(text);
    }
  });
});

test("valid JSON comes out of every whole call", () => {
  for (const { text, settings, want } of [...xmlCases, ...jsonCases])
    if (want.at(-1)![0] === "tool_calls")
      for (const [kind, value] of merged(run([...text], settings)))
        if (kind === "json") expect(() => JSON.parse(value!) as unknown, value).not.toThrow();
});

test("a call is announced as soon as its name is known, and text arguments grow", () => {
  const stream = streamOf(["<tool_call>\n<function=wri", "te>", "\n<parameter=path>\n", "long ", "text"], {
    tools,
  });
  const events = [0, 1, 2, 3, 4].map((id) => stream.push({ id }));
  expect(events).toEqual([
    [],
    [{ type: "tool_call", index: 0, id: "call_0", name: "write" }],
    [{ type: "tool_arguments", index: 0, json: '{"path":"' }],
    [{ type: "tool_arguments", index: 0, json: "long " }],
    [{ type: "tool_arguments", index: 0, json: "text" }],
  ]);
});

test("JSON arguments grow too", () => {
  const stream = streamOf(['<tool_call>\n{"name": "now", "arguments": ', '{"a": "x', "yz"], { tools });
  expect([0, 1, 2].flatMap((id) => stream.push({ id }))).toEqual([
    { type: "tool_call", index: 0, id: "call_0", name: "now" },
    { type: "tool_arguments", index: 0, json: '{"a": "x' },
    { type: "tool_arguments", index: 0, json: "yz" },
  ]);
});

test("call ids are new for each call", () => {
  const ids = [1, 2, 3].flatMap(() => {
    const stream = createTextStream({
      tools,
      tokenizer: piecesAsTokens([xml("now")]),
      stop: [],
      reasoning: undefined,
      logprobs: false,
    });
    return stream.push({ id: 0 }).flatMap((piece) => (piece.type === "tool_call" ? [piece.id] : []));
  });
  expect(new Set(ids).size).toBe(3);
  for (const id of ids) expect(id).toMatch(/^call_[0-9a-f]{24}$/);
});

test("a stop string ends the stream: later tokens are not seen", () => {
  const stream = streamOf(["a", "b", "c"], { stop: ["b"] });
  expect(stream.push({ id: 0 })).toEqual([{ type: "content", text: "a", logprobs: [] }]);
  expect(stream.stopped).toBe(false);
  expect(stream.push({ id: 1 })).toEqual([]);
  expect(stream.stopped).toBe(true);
  expect(stream.push({ id: 2 })).toEqual([]);
  expect(stream.finish("stop")).toEqual([{ type: "finished", reason: "stop", stopSequence: "b" }]);
});

test("log-probabilities travel with the first visible character of their token", () => {
  const smile = new TextEncoder().encode("🙂");
  const pieces = ["x", smile.slice(0, 1), smile.slice(1, 3), smile.slice(3), "<|im_end|>", "ST", "O", "!"];
  const events = run(pieces, { stop: ["STOP"], logprobs: true });
  const seen = events.map((event) => "logprobs" in event && [event.text, event.logprobs.map((t) => t.id)]);
  expect(seen).toEqual([["x", [0]], ["🙂", [1, 2, 3]], ["STO!", [5, 6, 7]], false]);
  const first = events[1] as Extract<TextPiece, { text: string }>;
  expect(first.logprobs[0]).toEqual({ id: 1, text: "\uFFFD", bytes: [0xf0], logprob: -1, top: [] });
});

test("the likeliest tokens are told with text and bytes", () => {
  const stream = streamOf(["a", "é"], { logprobs: true });
  const top = [
    { id: 0, logprob: -0.5 },
    { id: 1, logprob: -1 },
  ];
  expect(stream.push({ id: 0, logprob: -0.5, top })).toEqual([
    {
      type: "content",
      text: "a",
      logprobs: [
        {
          id: 0,
          text: "a",
          bytes: [97],
          logprob: -0.5,
          top: [
            { id: 0, text: "a", bytes: [97], logprob: -0.5 },
            { id: 1, text: "é", bytes: [0xc3, 0xa9], logprob: -1 },
          ],
        },
      ],
    },
  ]);
});

test("broken bytes at the end become U+FFFD, and their token is reported", () => {
  const events = run(["a", Uint8Array.of(0xf0, 0x9f)], { logprobs: true, end: "length" });
  expect(merged(events)).toEqual([["content", "a\uFFFD"], ["length"]]);
  expect(events.flatMap((event) => ("logprobs" in event ? event.logprobs : [])).length).toBe(2);
});

test("reasoning tokens are those drawn while a block was open", () => {
  const stream = streamOf(["<think>", "\n", "a", "b", "</think>", "\n\n", "c"], { reasoning: think });
  for (let id = 0; id < 7; id++) stream.push({ id });
  expect(stream.reasoningTokens).toBe(4);
});

interface DemoCase {
  id: string;
  tools: Tool[] | null;
  enable_thinking: boolean;
  output_ids: number[];
  reasoning: string | null;
  content: string;
  tool_calls: { name: string; arguments: unknown }[];
  finish_reason: "stop" | "tool_calls";
}

describe("the demo model's answers", async () => {
  const tokenizer = await loadTokenizer(demoModel);
  const { cases } = JSON.parse(readFileSync(join(demoFolder, "golden", "cases.json"), "utf8")) as {
    cases: DemoCase[];
  };
  test.each(cases)("$id", (c) => {
    const stream = createTextStream({
      tokenizer,
      stop: [],
      reasoning: { ...think, startsOpen: c.enable_thinking },
      tools: c.tools ?? undefined,
      logprobs: false,
    });
    const pieces = [...c.output_ids.flatMap((id) => stream.push({ id })), ...stream.finish("stop")];
    const text = (type: string) =>
      pieces.map((piece) => (piece.type === type && "text" in piece ? piece.text : "")).join("");
    const calls = pieces
      .flatMap((piece) => (piece.type === "tool_call" ? [piece] : []))
      .map(({ index, name }) => {
        const json = pieces.map((p) => (p.type === "tool_arguments" && p.index === index ? p.json : ""));
        return { name, arguments: JSON.parse(json.join("")) as unknown };
      });
    expect(text("reasoning")).toBe(c.reasoning ?? "");
    expect(text("content")).toBe(c.content);
    expect(calls).toEqual(c.tool_calls);
    expect(pieces.at(-1)).toMatchObject({ type: "finished", reason: c.finish_reason });
  });
});
