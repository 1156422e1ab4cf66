// `cortex load`, `cortex unload` and `cortex pin`: an operator's hand on the fleet's models.

import type { Command } from "commander";
import { AnswerError, call } from "../../kit/client.ts";
import type { Client } from "../../kit/client.ts";
import type { ModelItem } from "../fleet/catalogue.ts";
import { print } from "./command.ts";
import type { Act } from "./command.ts";
import { fitted } from "../../kit/table.ts";
import { clientOf, clientOptions } from "./flags.ts";
import type { ClientFlags } from "./flags.ts";

interface PlaceFlags extends ClientFlags {
  neuron?: string;
}

export function addLoad(program: Command, act: Act): void {
  const command = program
    .command("load")
    .description("load a model, and wait until it answers")
    .argument("<model>", "an id or alias of `cortex models`")
    .option("--neuron <name>", "where (default: where it fits best)")
    .option("--no-wait", "do not wait: end as soon as the load is under way");
  clientOptions(command).action(act(load));
}

export function addUnload(program: Command, act: Act): void {
  const command = program
    .command("unload")
    .description("unload a model; refused while it has requests")
    .argument("<model>", "an id or alias of `cortex models`")
    .option("--neuron <name>", "from this one (default: from all that have it)")
    .option("--force", "end its requests, or its load");
  clientOptions(command).action(act(unload));
}

export function addPin(program: Command, act: Act): void {
  const command = program
    .command("pin")
    .description("keep a model on a neuron: it is not unloaded to make room, nor for being idle")
    .argument("<model>", "an id or alias of `cortex models`")
    .argument("<neuron>", "a neuron that has it")
    .option("--undo", "let it go again");
  clientOptions(command).action(act(pin));
}

interface Answer {
  status: string;
  model: string;
  neurons: string[];
}

async function load(model: string, flags: PlaceFlags & { wait: boolean }): Promise<number> {
  const client = clientOf(flags);
  const showing = process.stderr.isTTY && flags.wait ? showProgress(client, model) : undefined;
  const { neuron, wait } = flags;
  try {
    const body = { model, wait, ...(neuron !== undefined && { neuron }) };
    const answer = (await call(client, "/api/models/load", { body, patient: true })) as Answer;
    showing?.();
    tell(flags, answer, `${answer.model}: ${answer.status}${at(answer)}`);
    return 0;
  } finally {
    showing?.();
  }
}

async function unload(model: string, flags: PlaceFlags & { force?: boolean }): Promise<number> {
  const { neuron, force = false } = flags;
  const body = { model, force, ...(neuron !== undefined && { neuron }) };
  const answer = (await call(clientOf(flags), "/api/models/unload", { body, patient: true })) as Answer;
  tell(flags, answer, `${answer.model}: unloaded from ${answer.neurons.join(", ")}`);
  return 0;
}

async function pin(model: string, neuron: string, flags: ClientFlags & { undo?: boolean }): Promise<number> {
  const body = { model, neuron, pinned: !flags.undo };
  const answer = (await call(clientOf(flags), "/api/models/pin", { body })) as {
    model: string;
    pinned: boolean;
  };
  tell(flags, answer, `${answer.model}: ${answer.pinned ? "stays on" : "may leave"} ${neuron}`);
  return 0;
}

function tell({ json }: ClientFlags, answer: object, line: string): void {
  print(json ? JSON.stringify(answer) : line);
}

function at({ neurons }: Answer): string {
  return neurons.length > 0 ? ` on ${neurons.join(", ")}` : "";
}

const lookEveryMs = 500;

/** One line that is written over, until the returned function is called. */
function showProgress(client: Client, model: string): () => void {
  const look = async () => {
    const item = (await call(client, `/v1/models/${encodeURIComponent(model)}`)) as ModelItem;
    const now = item.locations.find(({ status }) => status === "loading");
    if (now && timer)
      process.stderr.write(
        `\r\x1b[K${fitted(`${model}: loading on ${now.neuron} ${now.percent ?? 0} %`, process.stderr)}`,
      );
  };
  let timer: NodeJS.Timeout | undefined = setInterval(() => {
    look().catch((error: unknown) => {
      if (!(error instanceof AnswerError)) throw error; // the load itself says what is wrong
    });
  }, lookEveryMs);
  return () => {
    if (timer) process.stderr.write("\r\x1b[K");
    clearInterval(timer);
    timer = undefined;
  };
}
