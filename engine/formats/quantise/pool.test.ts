// Threads change nothing but the time: a process of its own, because only Node itself can start them unbuilt.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { short } from "../../../test-fixtures/blocks.ts";
import { jobs } from "../../../test-fixtures/conversions.ts";
import { packageRoot } from "../../root.ts";
import { convert } from "./convert.ts";
import { serialConverter } from "./pool.ts";

const fixtures = join(packageRoot, "test-fixtures");
const serial = jobs().map((job) => short(convert(job)));

function inThreads(threads: number): { hashes: string[]; refused: unknown; closed: string; left: string } {
  const program = ["--import", join(fixtures, "typescript.mjs"), join(fixtures, "conversions.ts")];
  const out = execFileSync(process.execPath, [...program, String(threads)], {
    encoding: "utf8",
    timeout: 60_000,
  });
  return JSON.parse(out) as ReturnType<typeof inThreads>;
}

test("without threads", async () => {
  const made: string[] = [];
  for (const job of jobs()) await serialConverter.convert(job, (rows) => made.push(short(rows)));
  expect(made).toEqual(serial);
  expect(new Set(serial).size).toBe(serial.length);
});

test("three threads: the same bytes as without", { timeout: 90_000 }, () => {
  const { hashes, refused, closed, left } = inThreads(3);
  expect(hashes).toEqual(serial);
  expect(refused).toEqual({
    code: "bad_checkpoint",
    message: "a weight is Infinity, which Q4_K cannot hold",
  });
  expect(closed).toBe("the converter is closed");
  expect(left).toBe("the converter was closed");
});

test("blocks are not made into blocks of another type", () => {
  const rows = new Uint8Array(34);
  expect(() => convert({ from: "Q8_0", to: "Q4_0", K: 32, rows })).toThrow("what is lost is lost");
});
