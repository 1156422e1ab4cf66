// A model's text side: tokenizer, chat template and the checkpoint's advice on sampling. It lives on the main thread,
// so that prompts are rendered and counted while the device works.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { EngineError } from "../errors.ts";
import { reasoningOf, type ReasoningMarkers } from "../text/reasoning.ts";
import { loadTemplate, type ChatTemplate } from "../text/template.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
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

/** Reads tokenizer, template and generation settings. Errors: bad_checkpoint. */
export async function loadText(folder: string): Promise<ModelText> {
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
    addGenerationPrompt: true,
    templateArguments: request.templateArguments ?? {},
  });
  const ids = tokenizer.encode(rendered, { special: false });
  const reasoning = reasoningOf(rendered, template.markers, tokenizer.idOf);
  const grammar = grammarFor(request, rendered, reasoning, { tokenizer, template });
  if (!shown || shown.pictures.length === 0) return { ids, images: [], reasoning, grammar };
  return { ...placePictures(ids, shown.imageToken, shown.pictures), reasoning, grammar };
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
      thoughts: reasoning && thoughtsBehind(rendered, reasoning),
      dropsFirstSpace: tokenizer.dropsFirstSpace,
    },
  );
}

/** A prompt may have opened the thoughts or, for a model that is not to think, closed them at once. */
function thoughtsBehind(
  rendered: string,
  { open, close, startsOpen }: NonNullable<Prompt["reasoning"]>,
): Thoughts {
  const isClosed = rendered.trimEnd().endsWith(close);
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
