// `cortex models`: what a request may ask for.

import type { Command } from "commander";
import { call } from "../../kit/client.ts";
import type { ModelItem } from "../fleet/catalogue.ts";
import { modelsTable } from "../inspect/models-table.ts";
import { print } from "./command.ts";
import type { Act } from "./command.ts";
import { clientOf, clientOptions } from "./flags.ts";
import type { ClientFlags } from "./flags.ts";

interface ModelsFlags extends ClientFlags {
  quiet?: boolean;
}

export function addModels(program: Command, act: Act): void {
  const command = program
    .command("models")
    .description("the models and aliases that a request may ask for, and where they are")
    .option("-q, --quiet", "only the names, one a line");
  clientOptions(command).action(act(runModels));
}

async function runModels(flags: ModelsFlags): Promise<number> {
  const { data } = (await call(clientOf(flags), "/v1/models")) as { data: ModelItem[] };
  if (flags.json) print(JSON.stringify(data, undefined, 2));
  else if (flags.quiet) for (const { id } of data) print(id);
  else
    print(
      data.length > 0
        ? modelsTable(data).join("\n")
        : "no models: no neuron has one, and models.toml names none",
    );
  return 0;
}
