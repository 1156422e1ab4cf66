// `cortex validate`: is this model, at this address, fit for clients?

import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { validate } from "../inspect/validate.ts";
import { print } from "./command.ts";
import type { Act } from "./command.ts";
import { clientOf, clientOptions } from "./flags.ts";
import type { ClientFlags } from "./flags.ts";
import { showFindings } from "./show.ts";

interface ValidateFlags extends ClientFlags {
  model: string;
  timeout: number;
  unload?: boolean;
}

const help = `
Asks, in this order: health, load, a chat with a known answer, the same streamed, the Responses and Messages dialects,
a tool call, a picture, embeddings, an error, unload. What the model cannot do is skipped. A model that was not loaded
before is unloaded afterwards. Exit code 1 when a line says FAIL, 2 when nobody answers.

Examples:
  cortex validate --model demo
  cortex validate --endpoint http://10.0.0.11:13131 --model Qwen/Qwen3-0.6B     straight to a neuron`;

export function addValidate(program: Command, act: Act): void {
  const command = program
    .command("validate")
    .description("ask a model all that clients need, and say what passes")
    .requiredOption("-m, --model <model>", "which model")
    .option("--timeout <seconds>", "for each step; a download is part of a load", seconds, 1800)
    .option("--unload", "unload it at the end even when it was loaded before")
    .addHelpText("after", help);
  clientOptions(command).action(act(runValidate));
}

async function runValidate(flags: ValidateFlags): Promise<number> {
  const { model, timeout, unload = false, json = false } = flags;
  const settings = { client: clientOf(flags), model, timeoutMs: timeout * 1000, unload };
  return showFindings(validate(settings), json, print);
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 86_400)) throw new InvalidArgumentError("Expected seconds, up to a day.");
  return value;
}
