// A command in this process, and what it says.

import { vi } from "vitest";
import { run } from "./cli.ts";
import type { World } from "./commands/command.ts";

export interface Said {
  code: number;
  out: string;
  err: string;
}

/** Runs `neuron …`; the environment has no more than is given. By default no engine is there to be opened. */
export async function neuron(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  openEngine: World["openEngine"] = () => Promise.reject(new Error("no engine is wanted here")),
): Promise<Said> {
  let [out, err] = ["", ""];
  const spies = [
    vi.spyOn(process.stdout, "write").mockImplementation((text) => ((out += String(text)), true)),
    vi.spyOn(process.stderr, "write").mockImplementation((text) => ((err += String(text)), true)),
  ];
  try {
    return { code: await run(args, { env: { HOME: "/nowhere", ...env }, openEngine }), out, err };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
