// A model's text side: tokenizer, chat template and the checkpoint's advice on sampling. It lives on the main thread,
// so that prompts are rendered and counted while the device works.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { EngineError } from "../errors.ts";
import { reasoningOf, type ReasoningMarkers } from "../text/reasoning.ts";
import { loadTemplate, type ChatTemplate } from "../text/template.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import type { ChatRequest } from "./types.ts";

export interface ModelText {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** generation_config.json as it stands; {} where there is none. */
  readonly generationConfig: unknown;
}

/** A prompt ready to run, and how its answer is to be read. */
export interface Prompt {
  ids: number[];
  reasoning: (ReasoningMarkers & { startsOpen: boolean }) | undefined;
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

/** Messages → token ids. Errors: template_failed, bad_request. */
export function renderChat({ tokenizer, template }: ModelText, request: ChatRequest): Prompt {
  const rendered = template.render(request.messages, {
    ...(request.tools ? { tools: request.tools } : {}),
    addGenerationPrompt: true,
    templateArguments: request.templateArguments ?? {},
  });
  return {
    ids: tokenizer.encode(rendered, { special: false }),
    reasoning: reasoningOf(rendered, template.markers, tokenizer.idOf),
  };
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
