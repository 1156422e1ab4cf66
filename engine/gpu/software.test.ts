import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { findSwiftshader, unpackSwiftshader } from "./software.ts";
import { tarFiles } from "./tar.ts";

const here = process.platform === "linux" && process.arch === "x64";
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "swiftshader-test-"));
  vi.stubEnv("XDG_CACHE_HOME", join(folder, "cache"));
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

/** An archive by the system's own tar. */
function tarOf(files: Record<string, string>): Buffer {
  const into = join(folder, "in");
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(into, name, ".."), { recursive: true });
    writeFileSync(join(into, name), text);
  }
  return execFileSync("tar", ["--format=ustar", "-C", into, "-cf", "-", "."]);
}

test("tar: names and bytes of files, not of folders", () => {
  const files = { empty: "", "one/short": "abc", two: "x".repeat(512), three: "y".repeat(1301) };
  const read = Object.fromEntries([...tarFiles(tarOf(files))].map((f) => [f.name, f.data.toString()]));
  const want = Object.fromEntries(Object.entries(files).map(([name, text]) => [`./${name}`, text]));
  expect(read).toEqual(want);
});

test("tar: a cut archive is refused by the name of the file it ends in", () => {
  const archive = tarOf({ file: "x".repeat(2000) });
  expect(() => [...tarFiles(archive.subarray(0, 1900))]).toThrow(/ends within \.\/file/);
});

test.runIf(here)("unpacks the npm package's driver once", () => {
  const found = findSwiftshader()!;
  expect(found.folder).toBe(join(folder, "cache", "cortex", `swiftshader-${found.version}`));
  const unpacked = unpackSwiftshader(found);
  expect(readdirSync(unpacked).sort()).toEqual([
    "libvk_swiftshader.so",
    "libvulkan.so.1",
    "vk_swiftshader_icd.json",
  ]);
  const before = statSync(join(unpacked, "libvk_swiftshader.so"));
  expect(before.size).toBeGreaterThan(2 ** 20);
  expect(unpackSwiftshader(found)).toBe(unpacked);
  expect(statSync(join(unpacked, "libvk_swiftshader.so")).ino).toBe(before.ino);
  expect(readdirSync(join(folder, "cache", "cortex"))).toHaveLength(1);
});

test("an archive without the driver is refused, and nothing of it stays", () => {
  const archive = join(folder, "wrong.tar.br");
  writeFileSync(archive, brotliCompressSync(tarOf({ "libvulkan.so.1": "x" })));
  const target = join(folder, "cache", "cortex", "swiftshader-0");
  expect(() => unpackSwiftshader({ version: "0", archive, folder: target })).toThrow(
    /lacks libvk_swiftshader.so, vk_swiftshader_icd.json; set XDG_CACHE_HOME/,
  );
  expect(readdirSync(join(folder, "cache", "cortex"))).toEqual([]);
});

test("a cache folder that cannot be written is named", () => {
  writeFileSync(join(folder, "cache"), "a file where a folder should be");
  const archive = join(folder, "none");
  const target = join(folder, "cache", "cortex", "swiftshader-0");
  expect(() => unpackSwiftshader({ version: "0", archive, folder: target })).toThrow(target);
});

test("without the package there is no SwiftShader", () => {
  expect(findSwiftshader(join(folder, "module.js"))).toBeUndefined();
});
