// The table of commands, in the order in which `cortex --help` lists them.

import type { AddCommand } from "./command.ts";
import { addCompletion } from "./completion.ts";
import { addServe } from "./serve.ts";
import { addStatus } from "./status.ts";

export const commands: readonly { group: string; adds: readonly AddCommand[] }[] = [
  { group: "Serve:", adds: [addServe] },
  { group: "Fleet:", adds: [addStatus] },
  { group: "This shell:", adds: [addCompletion] },
];
