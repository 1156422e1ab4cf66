// From OpenAI's Responses to the canonical request.

import type { Canonical, Choice, Format, Item, Part, Tool } from "./canonical.ts";
import { check, invalid, unsupported } from "./check.ts";
import * as schema from "./responses-body.ts";
import type { ContentPart, InputItem, ResponsesBody, ToolEntry } from "./responses-body.ts";
import { unseal } from "./seal.ts";

/** What a request refers to and only the store knows. */
export interface Recalled {
  /** The items of the responses before, oldest first: what each was asked, and what it answered. */
  history: readonly InputItem[];
  /** Items by id, for those that the input refers to. */
  items: ReadonlyMap<string, InputItem>;
}

/** Throws GatewayError: invalid_request_body or unsupported_parameter, with the field's path. */
export function toRequest(body: ResponsesBody, { history, items: known }: Recalled): Canonical {
  refuse(body);
  const tools = (body.tools ?? []).flatMap(toTool);
  const { choice, allowed } = toChoice(body.tool_choice, tools);
  const items: Item[] = [
    ...(body.instructions ? [said("system", [words(body.instructions)])] : []),
    ...history.flatMap((item, i) => toItems(item, `previous_response_id.${i}`, known)),
    ...inputItems(body.input).flatMap((item, i) => toItems(item, `input.${i}`, known)),
  ];
  if (items.length === 0) throw invalid("input", "expected at least one item");
  return {
    ...{ model: body.model, items, choice, tools: allowed },
    parallelCalls: body.parallel_tool_calls !== false,
    continues: false,
    thinking: body.reasoning?.effort === "none" ? false : undefined,
    effort: body.reasoning?.effort ?? undefined,
    verbosity: body.text?.verbosity ?? undefined,
    format: toFormat(body.text?.format),
    options: {
      maxTokens: body.max_output_tokens ?? undefined,
      temperature: body.temperature ?? undefined,
      topP: body.top_p ?? undefined,
      presencePenalty: body.presence_penalty ?? undefined,
      frequencyPenalty: body.frequency_penalty ?? undefined,
    },
  };
}

/** The input as a list, for a text stands for one message. */
export function inputItems(input: ResponsesBody["input"]): InputItem[] {
  if (typeof input !== "string") return input ?? [];
  return [{ type: "message", role: "user", content: [{ type: "input_text", text: input }] }];
}

/** The ids that the input refers to. */
export function referredIds(input: ResponsesBody["input"]): string[] {
  return inputItems(input).flatMap((item) => (kindOf(item) === "item_reference" && item.id ? [item.id] : []));
}

/** What this API has and this server does not: refused by name. */
function refuse(body: ResponsesBody): void {
  if (body.background) throw unsupported("background", true);
  if (body.top_logprobs) throw unsupported("top_logprobs", body.top_logprobs);
  if (body.truncation && body.truncation !== "disabled") throw unsupported("truncation", body.truncation);
  for (const name of ["conversation", "prompt"])
    if (body[name] !== undefined && body[name] !== null) throw unsupported(name, body[name]);
  const i = (body.include ?? []).indexOf("message.output_text.logprobs");
  if (i >= 0) throw unsupported(`include.${i}`, "message.output_text.logprobs");
}

/** What the servers of OpenAI did by themselves leaves records which hold no words for another model. */
const records = new Set([
  ...["web_search_call", "file_search_call", "image_generation_call", "code_interpreter_call"],
  ...["computer_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "tool_search_call"],
]);

/** Messages and references may leave it out. */
function kindOf({ type, role }: InputItem): string {
  return type ?? (typeof role === "string" ? "message" : "item_reference");
}

function toItems(item: InputItem, path: string, known: Recalled["items"]): Item[] {
  const type = kindOf(item);
  switch (type) {
    case "message": {
      const { role, content } = check(schema.MessageItem, item, path);
      return [said(role, parts(content, `${path}.content`))];
    }
    case "function_call": {
      const { call_id: id, name, arguments: args } = check(schema.CallItem, item, path);
      return [{ type: "call", id, name, arguments: args }];
    }
    case "custom_tool_call": {
      const { call_id: id, name, input } = check(schema.CustomCallItem, item, path);
      return [{ type: "call", id, name, arguments: JSON.stringify({ input }) }];
    }
    case "function_call_output":
    case "custom_tool_call_output": {
      const { call_id: id, output } = check(schema.OutputItem, item, path);
      return [{ type: "result", id, parts: parts(output, `${path}.output`), failed: false }];
    }
    case "reasoning": {
      const text = thoughts(item, path);
      return text === "" ? [] : [{ type: "reasoning", text }];
    }
    case "item_reference": {
      const { id } = check(schema.ReferenceItem, item, path);
      const found = known.get(id);
      if (found && found.type !== "item_reference") return toItems(found, path, known);
      throw invalid(
        `${path}.id`,
        `item ${JSON.stringify(id.slice(0, 80))} is not, or no longer, stored here`,
      );
    }
  }
  if (records.has(type)) return [];
  throw unsupported(`${path}.type`, type);
}

/** The thoughts themselves, in whichever of the three forms they come back. */
function thoughts(item: InputItem, path: string): string {
  const { content, encrypted_content, summary } = check(schema.ReasoningItem, item, path);
  const joined = (texts: typeof content) => (texts ?? []).flatMap(({ text }) => text || []).join("\n\n");
  return joined(content) || (unseal(encrypted_content) ?? joined(summary));
}

function parts(content: string | ContentPart[] | null | undefined, path: string): Part[] {
  if (!Array.isArray(content)) return content ? [words(content)] : [];
  return content.map((part, i) => toPart(part, `${path}.${i}`));
}

function toPart(part: ContentPart, path: string): Part {
  switch (part.type) {
    case "input_text":
    case "output_text":
    case "text":
      return words(check(schema.TextPart, part, path).text);
    case "refusal":
      return words(check(schema.RefusalPart, part, path).refusal);
    case "input_image": {
      const { image_url, file_id, detail } = check(schema.ImagePart, part, path);
      if (image_url) return { type: "image", url: image_url, detail: detail ?? undefined };
      if (file_id) throw unsupported(`${path}.file_id`, file_id);
      throw invalid(`${path}.image_url`, "Field required");
    }
  }
  throw unsupported(`${path}.type`, part.type);
}

/** Functions only: Codex sends namespaces and a web search unasked, and goes on well without them. */
function toTool({ type, name, description, parameters, strict }: ToolEntry, index: number): Tool[] {
  if (type !== "function") return [];
  if (!name) throw invalid(`tools.${index}.name`, "Field required");
  return [
    {
      name,
      description: description ?? undefined,
      parameters: parameters ?? undefined,
      strict: strict ?? undefined,
    },
  ];
}

function toChoice(choice: ResponsesBody["tool_choice"], tools: Tool[]): { choice: Choice; allowed: Tool[] } {
  if (choice === null || choice === undefined) return { choice: "auto", allowed: tools };
  if (typeof choice === "string") return { choice, allowed: tools };
  if (choice.type === "allowed_tools") {
    const names = (choice.tools ?? []).map(({ name }) => name);
    const allowed = tools.filter(({ name }) => names.includes(name));
    return { choice: choice.mode ?? "auto", allowed };
  }
  if (choice.type !== "function") throw unsupported("tool_choice.type", choice.type);
  const { name } = choice;
  if (!name) throw invalid("tool_choice.name", "Field required");
  if (tools.some((tool) => tool.name === name)) return { choice: { name }, allowed: tools };
  throw invalid("tool_choice.name", `no tool is called ${JSON.stringify(name.slice(0, 80))}`);
}

function toFormat(format: NonNullable<ResponsesBody["text"]>["format"]): Format | undefined {
  if (!format || format.type === "text") return undefined;
  if (format.type === "json_object") return { type: "json_object" };
  const { name, schema, description, strict } = format;
  if (!name) throw invalid("text.format.name", "Field required");
  if (!schema) throw invalid("text.format.schema", "Field required");
  return {
    ...{ type: "json_schema", name, schema },
    description: description ?? undefined,
    strict: strict ?? undefined,
  };
}

function said(role: Extract<Item, { type: "message" }>["role"], content: Part[]): Item {
  return { type: "message", role, parts: content };
}

function words(text: string): Part {
  return { type: "text", text };
}
