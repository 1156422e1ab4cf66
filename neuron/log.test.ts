import { expect, test } from "vitest";
import { createLog, progressLine, size } from "./log.ts";

function sink(isTTY: boolean) {
  const written: string[] = [];
  return { written, isTTY, columns: 30, write: (text: string) => written.push(text) };
}

test("levels leave out what is below them", () => {
  const out = sink(false);
  const log = createLog({ level: "warn", json: false }, out);
  log.debug("a");
  log.info("b");
  log.progress("c");
  log.warn("d");
  log.error("e");
  expect(out.written.map((line) => line.trimEnd())).toEqual(["warning: d", "error: e"]);
  const silent = sink(false);
  createLog({ level: "silent", json: false }, silent).error("x");
  expect(silent.written).toEqual([]);
});

test("a bar on a terminal is overwritten, cut to its width, and gone when a line comes", () => {
  const out = sink(true);
  const log = createLog({ level: "info", json: false }, out);
  log.progress("0123456789012345678901234567890123456789");
  log.progress("short");
  log.info("done");
  log.info("more");
  expect(out.written).toEqual([
    "\r\x1b[K01234567890123456789012345678",
    "\r\x1b[Kshort",
    "\r\x1b[Kdone\n",
    "more\n",
  ]);
});

test("elsewhere progress is a plain line now and then", () => {
  const out = sink(false);
  const log = createLog({ level: "info", json: false }, out);
  for (let i = 0; i < 100; i++) log.progress(`${i}`);
  expect(out.written).toEqual(["0\n"]);
});

test("JSON, one object a line", () => {
  const out = sink(true);
  const log = createLog({ level: "info", json: true }, out);
  log.warn('say "hi"\nthere');
  log.progress("half");
  expect(out.written.map((line) => JSON.parse(line))).toEqual([
    { time: expect.any(String), level: "warn", message: 'say "hi"\nthere' },
    { time: expect.any(String), level: "info", message: "half" },
  ]);
});

test.each([
  [0, "0 kB"],
  [1, "1 kB"],
  [999_999, "1000 kB"],
  [20_000_000, "20.0 MB"],
  [54_321_000_000, "54.3 GB"],
])("%i bytes are %s", (bytes, text) => expect(size(bytes)).toBe(text));

test("bars", () => {
  expect(progressLine("m", 0, 0)).toBe(`m ${"░".repeat(24)}   0% 0 kB of 0 kB`);
  expect(progressLine("m", 5e6, 1e7)).toBe(`m ${"█".repeat(12)}${"░".repeat(12)}  50% 5.0 MB of 10.0 MB`);
  expect(progressLine("m", 2e7, 1e7)).toContain("100%");
});
