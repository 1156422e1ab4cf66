import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { amdMemory, deviceMemory, hostMemory, parseNvidiaSmi } from "./memory.ts";

const smi = `NVIDIA H200, 143771, 1024
NVIDIA H200, 143771, 90000
NVIDIA GeForce RTX 3090, 24576, 17
NVIDIA GB10, [N/A], [N/A]
`;

test.each([
  ["NVIDIA GeForce RTX 3090", { totalMb: 24576, usedMb: 17 }],
  ["NVIDIA H200", { totalMb: 143771, usedMb: 90000 }],
  ["NVIDIA GB10", undefined],
  ["NVIDIA GeForce RTX 30", undefined],
])("nvidia-smi: %s", (name, want) => {
  expect(parseNvidiaSmi(smi, name)).toEqual(want);
});

test("nvidia-smi that could not run tells nothing", () => {
  expect(parseNvidiaSmi("", "NVIDIA H200")).toBeUndefined();
});

const folders: string[] = [];
afterEach(() => folders.splice(0).forEach((f) => rmSync(f, { recursive: true })));

/** A /sys/class/drm with cards of so many MiB, total and used. */
function drm(cards: ([number, number] | undefined)[]): string {
  const root = mkdtempSync(join(tmpdir(), "drm-test-"));
  folders.push(root);
  cards.forEach((card, i) => {
    const device = join(root, `card${i}`, "device");
    mkdirSync(device, { recursive: true });
    mkdirSync(join(root, `card${i}-DP-1`));
    if (!card) return;
    writeFileSync(join(device, "mem_info_vram_total"), `${card[0] * 2 ** 20}\n`);
    writeFileSync(join(device, "mem_info_vram_used"), `${card[1] * 2 ** 20}\n`);
  });
  return root;
}

test("sysfs: one AMD card beside another's", async () => {
  expect(await amdMemory(drm([undefined, [20464, 311]]))).toEqual({ totalMb: 20464, usedMb: 311 });
});

test("sysfs: two AMD cards cannot be told apart; no cards, no figure", async () => {
  expect(
    await amdMemory(
      drm([
        [100, 1],
        [200, 2],
      ]),
    ),
  ).toBeUndefined();
  expect(await amdMemory("/nonexistent")).toBeUndefined();
});

test("a software adapter has the host's memory, an unknown vendor none", async () => {
  const { totalMb, usedMb } = hostMemory();
  expect(totalMb).toBeGreaterThan(100);
  expect(totalMb).toBeLessThanOrEqual(totalmem() / 2 ** 20);
  expect(usedMb).toBeLessThan(totalMb);
  const software = { name: "llvmpipe", vendor: "mesa", kind: "software" } as const;
  expect((await deviceMemory(software))!.totalMb).toBe(totalMb);
  expect(await deviceMemory({ name: "Arc", vendor: "intel", kind: "hardware" })).toBeUndefined();
});
