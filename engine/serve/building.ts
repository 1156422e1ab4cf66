// The steps of a load that read checkpoints, weigh models and fill devices. What is around them is agreement between
// threads, which tests try with models that weigh nothing.
import { loadPart, withCheckpoint } from "./part.ts";
import { planAlone } from "./planModel.ts";
import { dealt, decided, parametersOf, planTeam } from "./team/deal.ts";

export const realBuilding = { withCheckpoint, planAlone, decided, dealt, planTeam, parametersOf, loadPart };

export type Building = typeof realBuilding;
