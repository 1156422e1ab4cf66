// What the build makes of the page, with or without a browser here.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { readPage } from "./page.ts";
import { buildPage } from "./page.fixture.ts";

test("the page is small, whole, and asks nobody else for anything", { timeout: 120_000 }, async () => {
  const { folder, remove } = await buildPage();
  const index = readFileSync(join(folder, "index.html"), "utf8");
  const page = readPage(folder);
  const licenses = readFileSync(join(folder, "licenses.txt"), "utf8");
  const assets = readdirSync(join(folder, "assets"));
  const zipped = assets.map((name) => gzipSync(readFileSync(join(folder, "assets", name))).length);
  await remove();
  const links = [...index.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path!);
  expect(links).toHaveLength(3);
  for (const path of links) expect([...page!.files.keys()]).toContain(path);
  expect(index).not.toMatch(/<style|<script(?![^>]* src=)|\sstyle=|\son\w+=/); // the page's policy allows none
  expect(zipped.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(150_000);
  for (const name of ["preact", "markdown-it", "highlight.js"]) expect(licenses).toContain(name);
});
