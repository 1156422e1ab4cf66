// From Anthropic's Messages to the canonical request.

import type { Canonical, Choice, Format, Item, Part, Tool } from "./canonical.ts";
import { check, invalid, unsupported } from "./check.ts";
import * as schema from "./messages-body.ts";
import type { Block, CountBody, Message, MessagesBody } from "./messages-body.ts";
import { unseal } from "./seal.ts";

/** Throws GatewayError: invalid_request_body or unsupported_parameter, with the field's path. */
export function toRequest(body: MessagesBody): Canonical {
  if (body.mcp_servers?.length) throw unsupported("mcp_servers", body.mcp_servers);
  const { max_tokens, temperature, top_p, top_k, stop_sequences } = body;
  const options = {
    maxTokens: max_tokens,
    temperature: temperature ?? undefined,
    topP: top_p ?? undefined,
    topK: top_k ?? undefined,
    stop: stop_sequences ?? undefined,
  };
  return { ...toCount(body), options };
}

/** What decides how long the prompt is. */
export function toCount(body: CountBody): Canonical {
  const messages = body.messages.map(messageItems);
  const tools = (body.tools ?? []).flatMap(toTool);
  const last = messages.at(-1)?.at(-1);
  return {
    model: body.model,
    items: [...systemItems(body.system), ...messages.flat()],
    tools,
    choice: toChoice(body, tools),
    parallelCalls: !body.tool_choice?.disable_parallel_tool_use,
    continues: last?.type === "message" && last.role === "assistant",
    // Without the wish for it a client cannot read thoughts, and need not wait for them.
    thinking: wantsThinking(body),
    effort: toEffort(body.output_config?.effort),
    verbosity: undefined,
    format: toFormat(body),
    options: {},
  };
}

/** Any kind but "disabled": new ones come, and all of them think. */
function wantsThinking({ thinking }: CountBody): boolean {
  return thinking !== null && thinking !== undefined && thinking.type !== "disabled";
}

/** Claude Code's accounting, different for every conversation: in front of the prompt it would spoil the cache. */
const billing = "x-anthropic-billing-header:";

function systemItems(system: CountBody["system"]): Item[] {
  const blocks = typeof system === "string" ? [{ text: system }] : (system ?? []);
  const parts = blocks.filter(({ text }) => !text.startsWith(billing)).map(({ text }) => words(text));
  return parts.length > 0 ? [{ type: "message", role: "system", parts }] : [];
}

function messageItems({ role, content }: Message, index: number): Item[] {
  const path = `messages.${index}.content`;
  if (!Array.isArray(content)) return [{ type: "message", role, parts: content ? [words(content)] : [] }];
  const items = joined(content.map((block, i) => blockItem(block, role, `${path}.${i}`)));
  return items.length > 0 || content.length > 0 ? items : [{ type: "message", role, parts: [] }];
}

/** Neighbouring parts of one message become one. */
function joined(pieces: readonly (Item | undefined)[]): Item[] {
  const items: Item[] = [];
  for (const piece of pieces) {
    const last = items.at(-1);
    if (piece?.type === "message" && last?.type === "message") last.parts.push(...piece.parts);
    else if (piece) items.push(piece);
  }
  return items;
}

/** Undefined for what holds nothing that a model here can read. */
function blockItem(block: Block, role: Message["role"], path: string): Item | undefined {
  switch (block.type) {
    case "thinking": {
      const { thinking, signature } = check(schema.ThinkingBlock, block, path);
      const text = thinking || unseal(signature); // "omitted" thoughts are in the signature
      return text ? { type: "reasoning", text } : undefined;
    }
    case "redacted_thinking": {
      const text = unseal(check(schema.RedactedBlock, block, path).data);
      return text === undefined ? undefined : { type: "reasoning", text };
    }
    // Calls which some server made by itself are calls to a model all the same.
    case "tool_use":
    case "server_tool_use":
    case "mcp_tool_use": {
      const { id, name, input } = check(schema.ToolUseBlock, block, path);
      return { type: "call", id, name, arguments: JSON.stringify(input ?? {}) };
    }
    default:
      if (block.type.endsWith("tool_result")) return result(block, path);
      return { type: "message", role, parts: parts(block, path) };
  }
}

function result(block: Block, path: string): Item {
  const { tool_use_id: id, content, is_error } = check(schema.ToolResultBlock, block, path);
  const failed = is_error === true;
  if (content === undefined || content === null) return { type: "result", id, parts: [], failed };
  if (!Array.isArray(content) && typeof content === "object")
    return { type: "result", id, parts: [json(content)], failed };
  const blocks = check(schema.Blocks, content, `${path}.content`);
  if (typeof blocks === "string")
    return { type: "result", id, parts: blocks === "" ? [] : [words(blocks)], failed };
  return { type: "result", id, parts: blocks.flatMap((b, i) => parts(b, `${path}.content.${i}`)), failed };
}

function parts(block: Block, path: string): Part[] {
  switch (block.type) {
    case "text":
      return [words(check(schema.TextBlock, block, path).text)];
    case "image":
      return [picture(block, path)];
    case "document":
      return document(block, path);
    default:
      return [json(block)]; // a tool reference, a search result, what the next release brings: the model reads JSON
  }
}

function picture(block: Block, path: string): Part {
  const { source } = check(schema.ImageBlock, block, path);
  if (source.type === "url" && source.url) return { type: "image", url: source.url };
  if (source.type !== "base64") throw unsupported(`${path}.source.type`, source.type);
  if (!source.data) throw invalid(`${path}.source.data`, "Field required");
  return { type: "image", url: `data:${source.media_type ?? "image/png"};base64,${source.data}` };
}

function document(block: Block, path: string): Part[] {
  const { source, title, context } = check(schema.DocumentBlock, block, path);
  const head = [title, context].flatMap((text) => (text ? [words(text)] : []));
  if (source.type === "text") return [...head, words(source.data ?? "")];
  if (source.type !== "content") throw unsupported(`${path}.source.type`, source.type);
  const blocks = check(schema.Blocks, source.content, `${path}.source.content`);
  if (typeof blocks === "string") return [...head, words(blocks)];
  return [...head, ...blocks.flatMap((b, i) => parts(b, `${path}.source.content.${i}`))];
}

function words(text: string): Part {
  return { type: "text", text };
}

function json(value: object): Part {
  return words(JSON.stringify(value));
}

/** Only what the client itself runs; tools of Anthropic's servers are not here, and clients send them unasked. */
function toTool(tool: NonNullable<CountBody["tools"]>[number], index: number): Tool[] {
  if (tool.type !== undefined && tool.type !== null && tool.type !== "custom") return [];
  if (!tool.name) throw invalid(`tools.${index}.name`, "Field required");
  return [
    {
      name: tool.name,
      description: tool.description ?? undefined,
      parameters: tool.input_schema ?? { type: "object", properties: {} },
      strict: tool.strict ?? undefined,
    },
  ];
}

function toChoice({ tool_choice: choice, tools: asked }: CountBody, tools: readonly Tool[]): Choice {
  if (choice?.type === "none") return "none";
  if (choice?.type === "any") return "required";
  if (choice?.type !== "tool") return "auto";
  const { name } = choice;
  if (!name) throw invalid("tool_choice.name", "Field required");
  if (tools.some((tool) => tool.name === name)) return { name };
  // The choice of a tool that was left out leaves nothing to choose.
  if (asked?.some((tool) => tool.name === name)) return "auto";
  throw invalid("tool_choice.name", `no tool is called ${JSON.stringify(name.slice(0, 80))}`);
}

/** Templates know three grades. */
function toEffort(effort: string | null | undefined): string | undefined {
  return effort === "max" || effort === "xhigh" ? "high" : (effort ?? undefined);
}

function toFormat({ output_config, output_format }: CountBody): Format | undefined {
  const format = output_config?.format ?? output_format;
  return format ? { type: "json_schema", name: "answer", schema: format.schema } : undefined;
}
