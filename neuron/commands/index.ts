// The table of commands, in the order in which `neuron --help` lists them.

import type { AddCommand } from "./command.ts";
import { addChat } from "./chat.ts";
import { addCheck } from "./check.ts";
import { addCompletion } from "./completion.ts";
import { addDevices } from "./devices.ts";
import { addDoctor } from "./doctor.ts";
import { addLs } from "./ls.ts";
import { addPlan } from "./plan.ts";
import { addPull } from "./pull.ts";
import { addRm } from "./rm.ts";
import { addServe } from "./serve.ts";
import { addVerify } from "./verify.ts";

export const commands: readonly { group: string; adds: readonly AddCommand[] }[] = [
  { group: "Serve:", adds: [addServe, addChat, addCheck] },
  { group: "Models:", adds: [addPull, addLs, addRm, addPlan, addVerify] },
  { group: "This host:", adds: [addDoctor, addDevices, addCompletion] },
];
