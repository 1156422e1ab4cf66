import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { commentsOf } from "./config.ts";
import { pages } from "./pages.ts";
import { performancePage } from "./performance.ts";

test.each(Object.entries(pages))("docs/%s is what `npm run docs` makes", (file, text) => {
  expect(readFileSync(join(import.meta.dirname, "..", file), "utf8")).toBe(text());
});

test("comments of a schema are found by the path of their key", () => {
  const comments = commentsOf("neuron/config.ts", "Config");
  expect(comments.get("http.stall_s")).toBe("How long a client may leave its stream unread.");
  expect(comments.get("http")).toBeUndefined();
  expect(commentsOf("gateway/config.ts", "CortexConfig").get("neurons.kind")).toMatch(
    /^"openai": any server/,
  );
});

test("results become tables, whatever their columns", () => {
  const rows = [
    { name: "a|b", ms: 1.23456 },
    { name: "c", share: 2 },
  ];
  const page = performancePage([{ file: "x.json", result: { bench: "decode", device: "GPU", rows } }]);
  expect(page).toContain("| name | ms | share |\n|---|---|---|\n| a\\|b | 1.235 |  |\n| c |  | 2 |");
  expect(page).toContain("on GPU (`x.json`)");
  expect(performancePage([])).toContain("No results are kept yet");
});
