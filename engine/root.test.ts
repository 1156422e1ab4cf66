import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "./root.ts";

test("the root is the folder of our own package.json", () => {
  const { name } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8"));
  expect(name).toBe("cortex-neuron");
});
