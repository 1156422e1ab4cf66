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

test("results become tables, whatever their columns, the newest first", () => {
  const origin = { bench: "decode", date: "2026-01-02", commit: "abc", adapter: "GPU", driver: "1.0" };
  const page = performancePage([
    { ...origin, date: "2026-01-01", name: "old" },
    { ...origin, name: "a|b", ms: 1.23456 },
    { ...origin, name: "c", ttft_ms: { p50: 2 } },
  ]);
  expect(page).toContain(
    "| commit | name | ms | ttft_ms.p50 |\n|---|---|---|---|\n| abc | a\\|b | 1.235 |  |\n| abc | c |  | 2 |",
  );
  expect(page).toContain("## decode, 2026-01-02\n\nGPU (1.0)");
  expect(page.indexOf("2026-01-02")).toBeLessThan(page.indexOf("2026-01-01"));
  expect(performancePage([])).toContain("No results are kept yet");
});
