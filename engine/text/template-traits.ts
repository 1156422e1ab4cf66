// Finds out what a chat template reads by rendering small conversations and looking for their texts in the result.
// Reading the source instead would be guesswork: templates of one family are written in many ways.

import type { TemplateTraits } from "./messages.ts";

/** Renders variables or throws. */
export type TryRender = (variables: Record<string, unknown>) => string;

/** A quotation mark tells a text that was written from one that was dumped as JSON. */
const marks = [1, 2, 3, 4, 5].map((n) => `probe "${n}" text`) as [string, string, string, string, string];

export function templateTraits(source: string, render: TryRender): TemplateTraits {
  /** The rendered text if it has all of the marks, else undefined. */
  function seen(messages: unknown[], ...wanted: string[]): string | undefined {
    try {
      const text = render({ messages, add_generation_prompt: true });
      return wanted.every((mark) => text.includes(mark)) ? text : undefined;
    } catch {
      return undefined;
    }
  }

  const [a, b, c, d, e] = marks;
  const parts = [{ type: "text", text: a }];
  const image = { type: "image", image: "", image_url: "" };
  const withParts = seen([said("user", parts)], a);
  const withImage = seen([said("user", [...parts, image])], a);
  const readsStrings = seen([said("user", a)], a) !== undefined;
  const content = (text: string) => (readsStrings || !withParts ? text : [{ type: "text", text }]);

  const several = ["system", "system", "user"].map((role, i) => said(role, content(marks[i]!)));
  const midst = ["system", "user", "assistant", "system", "user"].map((role, i) =>
    said(role, content(marks[i]!)),
  );
  const leading = [said("system", content(a)), said("user", content(b))];
  return {
    system:
      seen(several, a, b, c) !== undefined && seen(midst, a, b, c, d, e) !== undefined
        ? "anywhere"
        : seen(leading, a, b) !== undefined
          ? "first"
          : "none",
    readsParts: withParts !== undefined,
    readsStrings: readsStrings || withParts === undefined,
    readsImages: withImage !== undefined && withParts !== undefined && withImage !== withParts,
    readsDeveloper: /['"]developer['"]/.test(source),
  };
}

/** Whether the template tells the model of the tools it is given. */
export function knowsTools(render: TryRender): boolean {
  const name = "probe_tool";
  const parameters = { type: "object", properties: {} };
  const tools = [{ type: "function", function: { name, description: "probe", parameters } }];
  try {
    return render({ messages: [said("user", "probe")], tools, add_generation_prompt: true }).includes(name);
  } catch {
    return false;
  }
}

/** How calls are written inside <tool_call>: Qwen's XML, or Hermes' JSON. */
export type CallForm = "xml" | "json";

/** The form in which the template writes the calls of earlier answers, which is how the model has learned to write them. */
export function callForm(render: TryRender): CallForm | undefined {
  const call = { name: "probe_tool", arguments: { probe_key: "probe value" } };
  const parameters = { type: "object", properties: { probe_key: { type: "string" } } };
  const tools = [{ type: "function", function: { name: call.name, description: "probe", parameters } }];
  const answer = { ...said("assistant", ""), tool_calls: [{ type: "function", function: call }] };
  let text: string;
  try {
    text = render({ messages: [said("user", "probe"), answer], tools, add_generation_prompt: false });
  } catch {
    return undefined;
  }
  if (/<tool_call>\s*<function=probe_tool>\s*<parameter=probe_key>\s*probe value/.test(text)) return "xml";
  return /<tool_call>\s*\{"name": "probe_tool", "arguments": \{"probe_key"/.test(text) ? "json" : undefined;
}

function said(role: string, content: unknown) {
  return { role, content };
}
