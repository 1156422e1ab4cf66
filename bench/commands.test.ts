import { expect, test } from "vitest";
import { commands } from "./commands.ts";

test.each(Object.entries(commands))("%s: its usage tells of every option", (_, { usage, flags }) => {
  const told = [...usage.matchAll(/--(\w+)/g)].map(([, flag]) => flag);
  const own = flags.filter((flag) => flag !== "adapter"); // told once, for all
  expect([...new Set(told)].sort()).toEqual([...own].sort());
});

test.each([
  ["decode", { peer: "node-llama-cpp", rounds: "4" }, "--rounds 4: beside a peer at least 5"],
  ["kernels", { peer: "onnxruntime-node", rounds: "1" }, "--rounds 1: beside a peer at least 5"],
  ["prefill", { rounds: "0" }, "--rounds 0: a whole number from 1 on"],
])("%s refuses %o", async (name, values, message) => {
  await expect(async () => commands[name]!.run({ args: [], values })).rejects.toThrow(message);
});
