// The table of commands, in the order in which `cortex --help` lists them.

import type { AddCommand } from "./command.ts";
import { addCheck } from "./check.ts";
import { addCompletion } from "./completion.ts";
import { addDrain } from "./drain.ts";
import { addEnv } from "./env.ts";
import { addKey } from "./key.ts";
import { addLoad, addPin, addUnload } from "./load.ts";
import { addModels } from "./models.ts";
import { addServe } from "./serve.ts";
import { addStatus } from "./status.ts";
import { addValidate } from "./validate.ts";

export const commands: readonly { group: string; adds: readonly AddCommand[] }[] = [
  { group: "Serve:", adds: [addServe, addCheck] },
  { group: "Fleet:", adds: [addStatus, addModels, addLoad, addUnload, addPin, addDrain, addValidate] },
  { group: "Callers:", adds: [addEnv, addKey] },
  { group: "This shell:", adds: [addCompletion] },
];
