import { expect, test } from "vitest";
import { commands } from "./commands.ts";

test.each(Object.entries(commands))("%s: its usage tells of every option", (_, { usage, flags }) => {
  const told = [...usage.matchAll(/--(\w+)/g)].map(([, flag]) => flag);
  const own = flags.filter((flag) => flag !== "adapter"); // told once, for all
  expect([...new Set(told)].sort()).toEqual([...own].sort());
});
