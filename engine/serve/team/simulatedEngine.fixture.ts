// An engine over simulated devices, and what tests ask of it.
import { join } from "node:path";
import { packageRoot } from "../../root.ts";
import { openEngine, type EngineOptions } from "../engine.ts";
import type { Engine, LoadOptions } from "../types.ts";
import { spawnIn, type World } from "./simulated.fixture.ts";

/** Where the text side of a model comes from; nothing else of it is read. */
export const folder = join(packageRoot, "test-fixtures/reference/qwen2-tiny-sharded");

/** Two devices. */
export function openSimulated(world: World, options: EngineOptions): Promise<Engine> {
  return openEngine({ adapter: "null", devices: [0, 0], prefixCache: false, ...options }, spawnIn(world));
}

export const ways: Record<"alone" | "tensor" | "pipeline", LoadOptions> = {
  alone: { tensorParallel: 1 },
  tensor: { tensorParallel: 2 },
  pipeline: { pipelineParallel: 2 },
};
