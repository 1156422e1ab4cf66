// `cortex env`: what a client needs to be told, ready to paste.

import { Argument, Option } from "commander";
import type { Command } from "commander";
import { AnswerError, baseOf, call } from "../../kit/client.ts";
import type { ModelItem } from "../fleet/catalogue.ts";
import type { Client, Dialect } from "./client-settings.ts";
import { clients, dialects, settingsText } from "./client-settings.ts";
import { print } from "./command.ts";
import type { Act } from "./command.ts";
import { clientOf, clientOptions } from "./flags.ts";
import type { ClientFlags } from "./flags.ts";

interface EnvFlags extends ClientFlags {
  model?: string;
  dialect?: Dialect;
}

/** Where nobody asks for a key, clients still want one. */
const anyKey = "cortex";
/** Of a model that no neuron has loaded. */
const assumed = { context: 32768, output: 8192 };

export function addEnv(program: Command, act: Act): void {
  const command = program
    .command("env")
    .description("the settings with which a client talks to this gateway, to paste")
    .addArgument(new Argument("<client>", "which one").choices(Object.keys(clients)))
    .option("-m, --model <id>", "the model to use (default: the first that is loaded and makes text)")
    .addOption(new Option("--dialect <name>", "for clients that speak several").choices(dialects));
  clientOptions(command).action(act(runEnv));
}

async function runEnv(name: string, flags: EnvFlags, command: Command): Promise<number> {
  const client = clients[name]!;
  const dialect = flags.dialect ?? client.dialects[0];
  if (!client.dialects.includes(dialect))
    command.error(`error: ${client.title} speaks ${list(client)}, not ${dialect}`);
  const gateway = clientOf(flags);
  const { data } = (await call(gateway, "/v1/models")) as { data: ModelItem[] };
  const isMeant = ({ id, loaded, capabilities }: ModelItem) =>
    flags.model === undefined ? loaded && !capabilities.includes("embeddings") : id === flags.model;
  const model = data.find(isMeant);
  if (model === undefined) throw new AnswerError(missing(flags.model, data), { code: "model_not_found" });
  const { context, output } = model.limit ?? assumed;
  const settings = client.settings({
    ...{ url: baseOf(gateway), model: model.id, key: gateway.key ?? anyKey, dialect, context, output },
    ...{ vision: model.capabilities.includes("vision"), reasoning: model.reasoning },
  });
  if (flags.json) print(JSON.stringify(settings, undefined, 2));
  else print(settingsText(settings));
  if (!model.limit)
    console.error(
      `cortex: ${model.id} is not loaded, so its context is not known; ${context} tokens are assumed`,
    );
  return 0;
}

function list({ dialects: [first, ...more] }: Client): string {
  return more.length === 0 ? first : `${first}, ${more.join(" and ")}`;
}

function missing(asked: string | undefined, models: readonly ModelItem[]): string {
  if (models.length === 0) return "the gateway has no models yet";
  const names = models.map(({ id }) => id).join(", ");
  const what =
    asked === undefined
      ? "no model that makes text is loaded: choose one with --model"
      : `there is no model ${asked}`;
  return `${what}; known: ${names}`;
}
