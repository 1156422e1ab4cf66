// The checkpoint's chat template: found, compiled, tried out, and rendered. A template that fails is an error with
// its own words; there is no fallback, because a prompt in the wrong form makes a worse answer than none.

import { EngineError } from "../errors.ts";
import type { ChatMessage, Tool } from "../serve/types.ts";
import { isObject, readJsonObject, readText, tokenText } from "./files.ts";
import type { JsonObject } from "./files.ts";
import { TemplateRefusal, compileTemplate, globalNames } from "./jinja.ts";
import type { Render } from "./jinja.ts";
import { templateMessages } from "./messages.ts";
import type { TemplateMessage, TemplateTraits } from "./messages.ts";
import { knownMarkers } from "./reasoning.ts";
import type { ReasoningMarkers } from "./reasoning.ts";
import { callForm, knowsTools, templateTraits } from "./template-traits.ts";
import type { CallForm, TryRender } from "./template-traits.ts";

export interface RenderOptions {
  tools?: readonly Tool[] | undefined;
  /** Ends the prompt where the assistant speaks. Default true; false with continueFinal. */
  addGenerationPrompt?: boolean;
  /** The last message is the assistant's and unfinished: the prompt ends in the midst of it. */
  continueFinal?: boolean;
  /** Further variables of the template, e.g. enable_thinking. */
  templateArguments?: Readonly<Record<string, unknown>> | undefined;
  /** For templates that write the date. Default: now. */
  now?: Date;
}

export interface ChatTemplate {
  /**
   * The prompt's text; control tokens are written out, so encode it with `special: false`.
   * Throws template_failed (refused, broken or absent), bad_request with a path, vision_unsupported, and
   * unsupported_parameter for tools that the template would not tell the model of.
   */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
  /** The template tells the model of tools. */
  readonly knowsTools: boolean;
  /** How the model writes tool calls; undefined where the template does not show it. */
  readonly callForm: CallForm | undefined;
  /** The template tells the model of images. */
  readonly knowsImages: boolean;
  /** The template opens or reads reasoning blocks. */
  readonly knowsReasoning: boolean;
  /** The markers around them. */
  readonly markers: ReasoningMarkers | undefined;
}

/** The sources of a checkpoint's template; `toolUse` where there is another one for tools. */
export interface TemplateSource {
  /** The file it came from, for messages. */
  from: string;
  source: string;
  toolUse?: string | undefined;
}

export interface TemplateTokens {
  bosToken: string | undefined;
  eosToken: string | undefined;
}

/** Looks in chat_template.jinja, chat_template.json, tokenizer_config.json. A folder without one loads all the same. */
export async function loadTemplate(folder: string): Promise<ChatTemplate> {
  const settings = (await readJsonObject(folder, "tokenizer_config.json")) ?? {};
  return createTemplate(await findSource(folder, settings), tokensOf(settings));
}

/** The template that the contents of a tokenizer_config.json have; `from` is where they stand, for messages. */
export function templateOf(settings: JsonObject, from: string): ChatTemplate {
  return createTemplate(sourceOf(settings.chat_template, from), tokensOf(settings));
}

function tokensOf(settings: JsonObject): TemplateTokens {
  return { bosToken: tokenText(settings.bos_token), eosToken: tokenText(settings.eos_token) };
}

async function findSource(folder: string, settings: JsonObject): Promise<TemplateSource | undefined> {
  const jinja = await readText(folder, "chat_template.jinja");
  if (jinja !== undefined) return { from: "chat_template.jinja", source: jinja };
  const json = await readJsonObject(folder, "chat_template.json");
  return (
    sourceOf(json?.chat_template, "chat_template.json") ??
    sourceOf(settings.chat_template, "tokenizer_config.json")
  );
}

/** A template, or a list of named ones: `default` (else the first), and `tool_use` for requests with tools. */
function sourceOf(value: unknown, from: string): TemplateSource | undefined {
  if (typeof value === "string") return { from, source: value };
  const named = (Array.isArray(value) ? value : []).filter(
    (entry): entry is { name: string; template: string } =>
      isObject(entry) && typeof entry.template === "string",
  );
  const chosen = named.find((entry) => entry.name === "default") ?? named[0];
  const toolUse = named.find((entry) => entry.name === "tool_use")?.template;
  return chosen && { from, source: chosen.template, toolUse };
}

export function createTemplate(source: TemplateSource | undefined, tokens: TemplateTokens): ChatTemplate {
  if (!source) return absentTemplate();
  const plain = compileVariant(source.from, source.source, tokens);
  const withTools =
    source.toolUse === undefined ? plain : compileVariant(source.from, source.toolUse, tokens);
  const text = source.source + (source.toolUse ?? "");
  const markers = knownMarkers.find(({ open }) => text.includes(open));
  const tools = knowsTools(withTools.tryRender);
  return {
    render(messages, options = {}) {
      if (!options.tools?.length) return renderWith(plain, messages, options);
      if (tools) return renderWith(withTools, messages, options);
      throw new EngineError("unsupported_parameter", "tools: this model's chat template knows no tools");
    },
    knowsTools: tools,
    callForm: callForm(withTools.tryRender),
    knowsImages: plain.traits.readsImages,
    knowsReasoning: markers !== undefined,
    markers,
  };
}

function absentTemplate(): ChatTemplate {
  const render = () => {
    throw new EngineError(
      "template_failed",
      "this checkpoint has no chat template (chat_template.jinja, chat_template.json, or chat_template in" +
        " tokenizer_config.json), so it can only complete plain text",
    );
  };
  const known = { knowsTools: false, callForm: undefined, knowsImages: false, knowsReasoning: false };
  return { render, ...known, markers: undefined };
}

interface Variant {
  traits: TemplateTraits;
  tryRender: TryRender;
  render(variables: Record<string, unknown>, now: Date): string;
}

function compileVariant(from: string, source: string, tokens: TemplateTokens): Variant {
  const fixed = {
    tools: null,
    documents: null,
    bos_token: tokens.bosToken ?? "",
    eos_token: tokens.eosToken ?? "",
  };
  const compiled = compileOrFail(from, source);
  const tryRender: TryRender = (variables) => compiled({ ...fixed, ...variables }, new Date(0));
  return {
    traits: templateTraits(source, tryRender),
    tryRender,
    render: (variables, now) => compiled({ ...fixed, ...variables }, now),
  };
}

/** A template that is not Jinja fails when it is used: the model can still complete plain text. */
function compileOrFail(from: string, source: string): Render {
  try {
    return compileTemplate(source);
  } catch (error) {
    const { message } = error as Error;
    return () => {
      throw new Error(`${from} is no Jinja template: ${message}`);
    };
  }
}

function renderWith(variant: Variant, messages: readonly ChatMessage[], options: RenderOptions): string {
  const read = templateMessages(messages, variant.traits);
  const variables = { ...checkedArguments(options.templateArguments), ...toolVariable(options.tools) };
  const now = options.now ?? new Date();
  const rendered = (list: TemplateMessage[], add_generation_prompt: boolean) =>
    renderOrExplain(variant, { ...variables, messages: list, add_generation_prompt }, now);
  if (options.continueFinal) return beforeMark(rendered(withMark(read), false));
  return rendered(read, options.addGenerationPrompt ?? true);
}

function toolVariable(tools: readonly Tool[] | undefined): { tools?: readonly Tool[] } {
  return tools?.length ? { tools } : {};
}

function renderOrExplain(variant: Variant, variables: Record<string, unknown>, now: Date): string {
  try {
    return variant.render(variables, now);
  } catch (error) {
    const { message } = error as Error;
    const what = error instanceof TemplateRefusal ? "the chat template refused" : "the chat template failed";
    throw new EngineError("template_failed", `${what}: ${message}`, {}, { cause: error });
  }
}

const ours = ["messages", "tools", "add_generation_prompt", "bos_token", "eos_token"];

function checkedArguments(args: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  const taken = Object.keys(args).find((name) => ours.includes(name) || globalNames.includes(name));
  if (taken === undefined) return args;
  throw new EngineError(
    "bad_request",
    `chat_template_kwargs.${taken}: this name is set by the server and cannot be given`,
  );
}

/** Characters of the private use area, which no template treats as white space nor writes by itself. */
const MARK = "\uE000continue\uE001";

function withMark(messages: readonly TemplateMessage[]): TemplateMessage[] {
  const last = messages.at(-1);
  if (last?.role !== "assistant" || typeof last.content !== "string" || last.tool_calls)
    throw new EngineError(
      "bad_request",
      `messages[${messages.length - 1}]: only an assistant's text can be continued`,
    );
  return [...messages.slice(0, -1), { ...last, content: last.content + MARK }];
}

function beforeMark(text: string): string {
  const index = text.lastIndexOf(MARK);
  if (index >= 0) return text.slice(0, index);
  throw new EngineError(
    "template_failed",
    "the chat template does not write the last message's text as it is",
  );
}
