// Folders to write to, on a real disk; what root may write to all the same is denied here by hand.
import { access } from "node:fs/promises";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { writableFolder } from "./folders.ts";

vi.mock("node:fs/promises", async (original) => {
  const real = await original<{ access: typeof access }>();
  return { ...real, access: vi.fn(real.access) };
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "neuron-folders-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
});

test("is made with those above it; one that is there stays as it is", async () => {
  const deep = join(folder, "a", "b", "c");
  await writableFolder(deep);
  expect(statSync(deep).isDirectory()).toBe(true);
  writeFileSync(join(deep, "kept"), "");
  await writableFolder(deep);
  expect(existsSync(join(deep, "kept"))).toBe(true);
});

test("a file on the way", async () => {
  writeFileSync(join(folder, "file"), "");
  const path = join(folder, "file", "below");
  await expect(writableFolder(path)).rejects.toMatchObject({
    code: "bad_config",
    message: `${path} cannot be written to: a part of its path is no folder`,
  });
});

test("one that is there and not to be written to", async () => {
  vi.mocked(access).mockRejectedValueOnce(Object.assign(new Error("EACCES: …"), { code: "EACCES" }));
  await expect(writableFolder(folder)).rejects.toMatchObject({
    code: "bad_config",
    message: `${folder} cannot be written to: permission denied`,
  });
});

test.skipIf(process.platform !== "linux")("where nobody can make folders, it ends", async () => {
  await expect(writableFolder("/proc/none/below")).rejects.toMatchObject({
    code: "bad_config",
    message: "/proc/none/below cannot be written to: there is no such file",
  });
});
