// A model's text side: tokenizer, chat template and the checkpoint's advice on sampling. It lives on the main thread,
// so that prompts are rendered and counted while the device works.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { EngineError } from "../errors.ts";
import { planFolder } from "../formats/folder.ts";
import { generationFromGguf } from "../formats/gguf/config.ts";
import { openGguf, partsOf } from "../formats/gguf/file.ts";
import { tokenizerFromGguf } from "../formats/gguf/tokenizer.ts";
import { locateModel } from "../formats/locate.ts";
import { reasoningOf, type ReasoningMarkers } from "../text/reasoning.ts";
import { loadTemplate, templateOf, type ChatTemplate } from "../text/template.ts";
import { createTokenizer, loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import type { PreparedImage } from "../image/prepare.ts";
import { answerGrammar, type Thoughts } from "../grammar/answer.ts";
import type { NamedGrammar } from "../grammar/grammar.ts";
import { placePictures } from "./pictures.ts";
import type { ChatRequest, RequestImage, Tool } from "./types.ts";

export interface ModelText {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** generation_config.json as it stands; {} where there is none. */
  readonly generationConfig: unknown;
}

/** A prompt ready to run, and how its answer is to be read. */
export interface Prompt {
  ids: number[];
  images: RequestImage[];
  reasoning: (ReasoningMarkers & { startsOpen: boolean }) | undefined;
  /** What holds the answer; undefined where it is free. */
  grammar: NamedGrammar | undefined;
}

/**
 * Reads tokenizer, template and generation settings of what openCheckpoint would open.
 * Errors: as openCheckpoint; unsupported_model for a tokenizer that we do not know.
 */
export async function loadText(path: string, quant?: string): Promise<ModelText> {
  const place = await locateModel(path, quant);
  if (place.kind === "gguf") return ggufText(place.file);
  await planFolder(place.folder); // a folder that is no model's is told as that, not by the first file it lacks
  return folderText(place.folder);
}

/** A GGUF file has all of it in its metadata. */
async function ggufText(path: string): Promise<ModelText> {
  const file = await openGguf(partsOf(path)[0]!);
  await file.close();
  const { tokenizer, tokenizerConfig } = tokenizerFromGguf(file.metadata, path);
  const generationConfig = generationFromGguf(file.metadata);
  return {
    tokenizer: createTokenizer({ tokenizer, tokenizerConfig, generationConfig }),
    template: templateOf(tokenizerConfig, path),
    generationConfig,
  };
}

async function folderText(folder: string): Promise<ModelText> {
  const [tokenizer, template, generationConfig] = await Promise.all([
    loadTokenizer(folder),
    loadTemplate(folder),
    readOptionalJson(join(folder, "generation_config.json")),
  ]);
  return { tokenizer, template, generationConfig };
}

/** A request's pictures, prepared, and the token that stands for each in the template's text. */
export interface PromptPictures {
  imageToken: number;
  pictures: readonly PreparedImage[];
}

/** Messages → token ids. Errors: template_failed, bad_request. */
export function renderChat(
  { tokenizer, template }: ModelText,
  request: ChatRequest,
  shown?: PromptPictures,
): Prompt {
  const rendered = template.render(request.messages, {
    ...(request.tools ? { tools: request.tools.map(asWritten) } : {}),
    addGenerationPrompt: request.addGenerationPrompt ?? true,
    continueFinal: request.continueFinal ?? false,
    templateArguments: request.templateArguments ?? {},
  });
  const ids = tokenizer.encode(rendered, { special: false });
  const reasoning = reasoningOf(rendered, template.markers, tokenizer.idOf, continuedText(request));
  const grammar = grammarFor(request, rendered, reasoning, { tokenizer, template });
  if (!shown || shown.pictures.length === 0) return { ids, images: [], reasoning, grammar };
  return { ...placePictures(ids, shown.imageToken, shown.pictures), reasoning, grammar };
}

/** What the assistant has said already of the answer that is asked for. */
function continuedText({ continueFinal, messages }: ChatRequest): string {
  const content = continueFinal ? messages.at(-1)?.content : undefined;
  return typeof content === "string" ? content : "";
}

/** `strict` is between us and the caller: no template knows it. */
function asWritten({ type, function: { name, description, parameters } }: Tool): Tool {
  return {
    type,
    function: {
      name,
      ...(description === undefined ? {} : { description }),
      ...(parameters && { parameters }),
    },
  };
}

function grammarFor(
  request: ChatRequest,
  rendered: string,
  reasoning: Prompt["reasoning"],
  { tokenizer, template }: Pick<ModelText, "tokenizer" | "template">,
): NamedGrammar | undefined {
  const { format, tools = [], toolChoice = "auto", parallelToolCalls = true } = request;
  return answerGrammar(
    { format, tools, choice: toolChoice, parallel: parallelToolCalls },
    {
      calls: template.callForm,
      thoughts: reasoning && thoughtsBehind(rendered, reasoning, request.continueFinal ?? false),
      dropsFirstSpace: tokenizer.dropsFirstSpace,
    },
  );
}

/**
 * A prompt may have opened the thoughts or, for a model that is not to think, closed them at once; and where the
 * answer has begun, they are over.
 */
function thoughtsBehind(
  rendered: string,
  { open, close, startsOpen }: NonNullable<Prompt["reasoning"]>,
  continued: boolean,
): Thoughts {
  const isClosed = continued || rendered.trimEnd().endsWith(close);
  return { open, close, begins: startsOpen ? "open" : isClosed ? "closed" : "maybe" };
}

async function readOptionalJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    return {};
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EngineError("bad_checkpoint", `${path}: ${(cause as Error).message}`, {}, { cause });
  }
}
