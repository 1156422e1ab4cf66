import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { EngineError } from "../errors.ts";
import { packageRoot } from "../root.ts";
import type { ChatMessage, Tool } from "../serve/types.ts";
import { demoFolder, demoModel, referenceFolders } from "./fixtures.fixture.ts";
import { reasoningOf } from "./reasoning.ts";
import { createTemplate, loadTemplate } from "./template.ts";
import type { RenderOptions } from "./template.ts";
import { loadTokenizer } from "./tokenizer.ts";

interface ReferenceCase {
  messages: ChatMessage[];
  add_generation_prompt: boolean;
  enable_thinking?: boolean;
  rendered: string;
  ids: number[];
}

function thinking(enable_thinking: boolean | undefined): Pick<RenderOptions, "templateArguments"> {
  return enable_thinking === undefined ? {} : { templateArguments: { enable_thinking } };
}

describe.each(referenceFolders("tokenizer_cases.json"))("reference %s", async (_, folder) => {
  const template = await loadTemplate(folder);
  const tokenizer = await loadTokenizer(folder);
  const { chat } = JSON.parse(readFileSync(join(folder, "tokenizer_cases.json"), "utf8")) as {
    chat: ReferenceCase[];
  };
  test.each(chat.map((c, i) => [i, c] as const))("chat %i", (_, c) => {
    const addGenerationPrompt = c.add_generation_prompt;
    const prompt = template.render(c.messages, { addGenerationPrompt, ...thinking(c.enable_thinking) });
    expect(prompt).toBe(c.rendered);
    expect(tokenizer.encode(prompt, { special: false })).toEqual(c.ids);
  });
});

interface DemoCase {
  id: string;
  messages: ChatMessage[];
  tools: Tool[] | null;
  enable_thinking: boolean;
  rendered: string;
  n_images: number;
  prompt_ids: number[];
}

describe("the demo model", async () => {
  const template = await loadTemplate(demoModel);
  const tokenizer = await loadTokenizer(demoModel);
  const { cases } = JSON.parse(readFileSync(join(demoFolder, "golden", "cases.json"), "utf8")) as {
    cases: DemoCase[];
  };

  test.each(cases)("$id", (c) => {
    const prompt = template.render(c.messages, { tools: c.tools ?? [], ...thinking(c.enable_thinking) });
    expect(prompt).toBe(c.rendered);
    if (c.n_images === 0) expect(tokenizer.encode(prompt, { special: false })).toEqual(c.prompt_ids);
    const reasoning = reasoningOf(prompt, template.markers, tokenizer.idOf);
    expect(reasoning).toEqual({ open: "<think>", close: "</think>", startsOpen: c.enable_thinking });
  });

  test("knows tools, images and reasoning", () => {
    const { knowsTools, knowsImages, knowsReasoning } = template;
    expect({ knowsTools, knowsImages, knowsReasoning }).toEqual({
      knowsTools: true,
      knowsImages: true,
      knowsReasoning: true,
    });
  });
});

const agentSource = readFileSync(join(packageRoot, "test-fixtures", "text", "agent.jinja"), "utf8");
const agent = createTemplate(
  { from: "agent.jinja", source: agentSource },
  { bosToken: undefined, eosToken: undefined },
);

interface AgentCase {
  messages: ChatMessage[];
  tools?: Tool[];
  enable_thinking?: boolean;
  add_generation_prompt?: boolean;
  rendered?: string;
  refused?: string;
}

// Rendered by Python's jinja2 (test-fixtures/text/make.py).
describe("a template as strict as Qwen's, against Python's Jinja", () => {
  const cases = JSON.parse(
    readFileSync(join(packageRoot, "test-fixtures", "text", "agent.json"), "utf8"),
  ) as AgentCase[];

  test.each(cases.map((c, i) => [i, c] as const))("conversation %i", (_, c) => {
    const options = { tools: c.tools, addGenerationPrompt: c.add_generation_prompt ?? true };
    const render = () => agent.render(c.messages, { ...options, ...thinking(c.enable_thinking) });
    if (c.refused === undefined) expect(render()).toBe(c.rendered);
    else expect(render).toThrow(failure("template_failed", `the chat template refused: ${c.refused}`));
  });

  test("the wire's form of the same: arguments as JSON text, null for nothing", () => {
    for (const c of cases.filter(({ rendered }) => rendered !== undefined)) {
      const messages = c.messages.map((message) => ({
        ...message,
        name: null,
        reasoning_content: message.reasoning_content ?? null,
        content: message.content === "" ? null : message.content,
        tool_calls: (message.tool_calls ?? []).map((call) => ({
          ...call,
          function: { ...call.function, arguments: JSON.stringify(call.function.arguments) },
        })),
      })) as unknown as ChatMessage[];
      const options = { tools: c.tools, addGenerationPrompt: c.add_generation_prompt ?? true };
      expect(agent.render(messages, { ...options, ...thinking(c.enable_thinking) })).toBe(c.rendered);
    }
  });
});

/** Asymmetric matcher for an EngineError. */
function failure(code: string, message: string): EngineError {
  return expect.objectContaining({ code, message: expect.stringContaining(message) }) as EngineError;
}

function said(role: string, content: ChatMessage["content"] & {}): ChatMessage {
  return { role, content };
}

function turns(source: string, messages: ChatMessage[], options: RenderOptions = {}): string {
  const tokens = { bosToken: "<s>", eosToken: "</s>" };
  return createTemplate({ from: "test", source }, tokens).render(messages, options);
}

const chatml = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}";
const loud = "{% for m in messages %}<{{ m.role }}>{{ m.content | upper }}{% endfor %}";
const firstOnly =
  "{% for m in messages %}{% if m.role == 'system' and not loop.first %}{{ raise_exception('first!') }}" +
  "{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}";
/** Forgets later system messages without a word. */
const forgetful =
  "{% for m in messages %}{% if m.role != 'system' or loop.first %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}";
const alternating =
  "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate!') }}" +
  "{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}";
const partsOnly =
  "{% for m in messages %}<{{ m.role }}>{% for p in m.content %}{{ p.text if p.type == 'text' else '[img]' }}" +
  "{% endfor %}{% endfor %}";

describe("system messages are never dropped", () => {
  const talk = [
    said("system", "A"),
    said("developer", "B"),
    said("user", "hi"),
    said("system", "C"),
    said("assistant", "yo"),
    said("system", "D"),
    said("system", "E"),
    said("user", "ok"),
    said("assistant", "so"),
    said("system", "F"),
  ];
  test.each<[string, string, string]>([
    [
      "anywhere",
      chatml,
      "<system>A</system><system>B</system><user>hi</user><system>C</system><assistant>yo</assistant>" +
        "<system>D</system><system>E</system><user>ok</user><assistant>so</assistant><system>F</system>",
    ],
    [
      "first only",
      firstOnly,
      "<system>A\n\nB<user>hi\n\nC<assistant>yo<user>D\n\nE\n\nok<assistant>so<user>F",
    ],
    [
      "forgotten",
      forgetful,
      "<system>A\n\nB<user>hi\n\nC<assistant>yo<user>D\n\nE\n\nok<assistant>so<user>F",
    ],
    ["none", alternating, "<user>A\n\nB\n\nhi\n\nC<assistant>yo<user>D\n\nE\n\nok<assistant>so<user>F"],
  ])("%s", (_, source, want) => {
    expect(turns(source, talk)).toBe(want);
  });

  test("beside a user turn with a picture", () => {
    const picture: ChatMessage = { role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] };
    expect(agent.render([said("user", "a"), said("assistant", "b"), picture, said("system", "S")])).toContain(
      "<|im_start|>user\n[picture]\n\nS<|im_end|>",
    );
  });

  test("the beginning of the prompt stays as it was a turn before", () => {
    const once = [said("system", "A"), said("user", "hi"), said("system", "B")];
    const next = [...once, said("assistant", "yo"), said("user", "ok"), said("system", "C")];
    const before = agent.render(once, { addGenerationPrompt: false });
    expect(agent.render(next, { addGenerationPrompt: false }).startsWith(before)).toBe(true);
  });

  test("a template that knows developers keeps them", () => {
    const source =
      "{% for m in messages %}{% if m.role == 'developer' %}D{% endif %}{{ m.role }}{% endfor %}";
    expect(turns(source, [said("developer", "x")])).toBe("Ddeveloper");
  });
});

describe("content", () => {
  const parts: ChatMessage["content"] = [
    { type: "text", text: "one " },
    { type: "text", text: "two" },
  ];
  test.each([
    ["read as strings", loud, "<user>ONE TWO"],
    ["read as parts only", partsOnly, "<user>one two"],
  ])("lists of text %s", (_, source, want) => {
    expect(turns(source, [{ role: "user", content: parts }])).toBe(want);
  });

  test("strings for a template that reads parts only", () => {
    expect(turns(partsOnly, [said("user", "hi"), { role: "assistant", content: null }])).toBe(
      "<user>hi<assistant>",
    );
  });

  test("pictures keep their place, and their data stays out of the template", () => {
    const url = "data:image/png;base64,AAAA";
    const content: ChatMessage["content"] = [...parts, { type: "image_url", image_url: { url } }];
    expect(turns(partsOnly, [{ role: "user", content }])).toBe("<user>one two[img]");
    expect(turns("{{ messages | tojson }}", [{ role: "user", content: parts }])).not.toContain("AAAA");
  });

  test("a picture for a template that reads none", () => {
    const content: ChatMessage["content"] = [{ type: "image_url", image_url: { url: "x" } }];
    expect(() => turns(chatml, [{ role: "user", content }])).toThrow(
      failure("vision_unsupported", "messages[0].content[0]"),
    );
  });

  test("an unknown part", () => {
    const content = [{ type: "audio" }] as unknown as ChatMessage["content"] & {};
    expect(() => turns(chatml, [said("user", content)])).toThrow(
      failure(
        "bad_request",
        'messages[0].content[0]: expected a part of type text or image_url, got {"type":"audio"}',
      ),
    );
  });
});

describe("tool calls and tools", () => {
  const call = (args: string): ChatMessage => ({
    role: "assistant",
    content: null,
    tool_calls: [{ function: { name: "ok", arguments: "{}" } }, { function: { name: "f", arguments: args } }],
  });
  test.each([
    ["{oops", "messages[1].tool_calls[1].function.arguments: not JSON"],
    ["[1]", "messages[1].tool_calls[1].function.arguments: expected a JSON object, got [1]"],
  ])("arguments %s", (args, message) => {
    expect(() => agent.render([said("user", "x"), call(args)])).toThrow(failure("bad_request", message));
  });

  test.each(["", " ", "null", "{}"])("arguments %j are none", (args) => {
    expect(agent.render([said("user", "x"), call(args)])).toContain("<function=f>\n</function>");
  });

  test("tools for a template that would not tell the model", () => {
    const tools: Tool[] = [{ type: "function", function: { name: "f" } }];
    expect(() => turns(chatml, [said("user", "x")], { tools })).toThrow(
      failure("unsupported_parameter", "tools: this model's chat template knows no tools"),
    );
    expect(turns(chatml, [said("user", "x")], { tools: [] })).toBe("<user>x</user>");
  });
});

describe("the form of calls", async () => {
  const written = (call: string) =>
    createTemplate(
      {
        from: "test",
        source: `{%- for m in messages -%}<{{ m.role }}>{{ m.content }}{%- for c in m.tool_calls or [] -%}${call}{%- endfor -%}{%- endfor -%}{{- tools -}}`,
      },
      { bosToken: undefined, eosToken: undefined },
    ).callForm;
  const json = '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}';

  test("Qwen's XML", async () => {
    expect([(await loadTemplate(demoModel)).callForm, agent.callForm]).toEqual(["xml", "xml"]);
  });

  test.each([
    ["Hermes' JSON", `\n<tool_call>\n${json}\n</tool_call>`, "json"],
    ["JSON in other tags", `[TOOL_CALLS]${json}`, undefined],
    ["names alone", "<tool_call>{{ c.function.name }}</tool_call>", undefined],
    ["nothing", "", undefined],
    ["a template that fails", "{{ raise_exception('no') }}", undefined],
  ])("%s", (_, call, form) => {
    expect(written(call)).toBe(form);
  });

  test("a template without tools", () => {
    expect(
      createTemplate({ from: "test", source: chatml }, { bosToken: undefined, eosToken: undefined }).callForm,
    ).toBeUndefined();
  });
});

describe("template arguments and tokens", () => {
  test("are passed; the server's own names cannot be set", () => {
    const source = "{{ bos_token }}{{ effort }}{{ eos_token }}{% if documents is defined %}!{% endif %}";
    expect(turns(source, [], { templateArguments: { effort: "low" } })).toBe("<s>low</s>!");
    for (const name of ["messages", "range", "bos_token", "namespace"])
      expect(() => turns(source, [], { templateArguments: { [name]: 1 } })).toThrow(
        failure("bad_request", `chat_template_kwargs.${name}`),
      );
  });

  test("the clock speaks English, in the formats that templates ask for", () => {
    const now = new Date(2026, 6, 4, 15, 7, 9);
    const formats = ["%d %b %Y", "%B %-d, %Y", "%A %a", "%I:%M %p", "%F %T", "%y%m%d %e %H %S%%"];
    const source = formats.map((format) => `{{ strftime_now('${format}') }}`).join("|");
    expect(turns(source, [], { now })).toBe(
      "04 Jul 2026|July 4, 2026|Saturday Sat|03:07 PM|2026-07-04 15:07:09|260704  4 15 09%",
    );
    expect(() => turns("{{ strftime_now('%Q') }}", [])).toThrow(failure("template_failed", "%Q"));
  });
});

// The strings are what Python says.
test.each([
  [
    `{{ "xxaxbxx".strip("x") }}|{{ "xxaxx".lstrip("x") }}|{{ "ab  ".rstrip() }}|{{ " \\n a\\n".strip("\\n ") }}`,
    "axb|axx|ab|a",
  ],
  [
    `{{ none | string }} {{ true | string }} {{ 1.5 | string }} {{ "a" | string }}{{ gone | string }}`,
    "None True 1.5 a",
  ],
  [`{{ [true, none, "it's", 'a"b', 2] | string }}`, `[True, None, "it's", 'a"b', 2]`],
  [`{{ {"a": {"b": false}} | string }}`, "{'a': {'b': False}}"],
  [`{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}`, "012531"],
  [`{% macro m(x) %}{{ x.strip("-") | string | upper }}{% endmacro %}{{ m("-a-") }}`, "A"],
])("as Python: %s", (source, want) => {
  expect(turns(source, [])).toBe(want);
});

describe("an unfinished last message", () => {
  const talk = [said("user", "hi"), said("assistant", "Once upon <|x|>e ")];
  test("ends the prompt in its midst", () => {
    const want =
      "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nOnce upon <|x|>e ";
    expect(agent.render(talk, { continueFinal: true })).toBe(want);
  });

  test("must be the assistant's", () => {
    expect(() => agent.render(talk.slice(0, 1), { continueFinal: true })).toThrow(
      failure("bad_request", "messages[0]: only an assistant's text can be continued"),
    );
    const calling = { ...talk[1]!, tool_calls: [{ function: { name: "f", arguments: {} } }] };
    expect(() => agent.render([talk[0]!, calling], { continueFinal: true })).toThrow(
      failure("bad_request", "messages[1]: only an assistant's text can be continued"),
    );
  });

  test("opens reasoning where its thoughts are unfinished", () => {
    const none = () => undefined;
    const markers = { open: "<think>", close: "</think>" };
    expect(reasoningOf("…<think>\nhm", markers, none, "<think>\nhm")?.startsOpen).toBe(true);
    expect(reasoningOf("…", markers, none, "<think>\nhm</think>ok")?.startsOpen).toBe(false);
  });
});

test("a marker in a user's message opens no reasoning", () => {
  const markers = { open: "<think>", close: "</think>" };
  expect(reasoningOf("user: what is <think>?\nassistant:\n", markers, () => undefined)?.startsOpen).toBe(
    false,
  );
  expect(reasoningOf("x", undefined, () => undefined)).toBeUndefined();
  expect(reasoningOf("x", undefined, (token) => token.length)?.open).toBe("<think>");
});

describe("where a template comes from", () => {
  let folder = "";
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function load(files: Record<string, unknown>) {
    folder = mkdtempSync(join(tmpdir(), "template-"));
    for (const [name, content] of Object.entries(files))
      writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
    return loadTemplate(folder);
  }
  const settings = (chat_template: unknown) => ({ chat_template, bos_token: { content: "<b>" } });
  const tools: Tool[] = [{ type: "function", function: { name: "f" } }];

  test("chat_template.jinja before chat_template.json before tokenizer_config.json", async () => {
    const files = {
      "chat_template.jinja": "{{ bos_token }}jinja",
      "chat_template.json": { chat_template: "json" },
      "tokenizer_config.json": settings("settings"),
    };
    expect((await load(files)).render([])).toBe("<b>jinja");
    rmSync(join(folder, "chat_template.jinja"));
    expect((await loadTemplate(folder)).render([])).toBe("json");
    rmSync(join(folder, "chat_template.json"));
    expect((await loadTemplate(folder)).render([])).toBe("settings");
  });

  test("named templates: default, and tool_use for requests with tools", async () => {
    const template = await load({
      "tokenizer_config.json": settings([
        { name: "rag", template: "rag" },
        { name: "tool_use", template: "{{ tools[0].function.name }}" },
        { name: "default", template: "plain" },
      ]),
    });
    expect([template.render([]), template.render([], { tools })]).toEqual(["plain", "f"]);
    expect(template.knowsTools).toBe(true);
    const first = await load({ "tokenizer_config.json": settings([{ name: "rag", template: "rag" }]) });
    expect(first.render([])).toBe("rag");
  });

  test("none at all: said when asked", async () => {
    const template = await load({ "tokenizer_config.json": {} });
    expect(() => template.render([])).toThrow(failure("template_failed", "no chat template"));
    expect(template.knowsTools).toBe(false);
  });

  test("one that is no Jinja, or breaks: its own words", async () => {
    const broken = await load({ "chat_template.jinja": "{% if %}" });
    expect(() => broken.render([])).toThrow(
      failure("template_failed", "chat_template.jinja is no Jinja template"),
    );
    const failing = await load({ "chat_template.jinja": "{{ messages.nothing() }}" });
    expect(() => failing.render([])).toThrow(failure("template_failed", "the chat template failed: "));
  });

  test("a damaged settings file is named", async () => {
    await expect(load({ "tokenizer_config.json": "{" })).rejects.toThrow(
      failure("bad_checkpoint", "tokenizer_config.json"),
    );
  });
});
