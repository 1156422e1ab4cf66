// Rows in tiles of real textures, gathered or piece by piece, and on a device that goes away meanwhile.
import { expect, test } from "vitest";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { shardBytes } from "../../test-fixtures/tiles.ts";
import { openGpu } from "./adapter.ts";
import { createTiles, tileLayout } from "./tiles.ts";
import { finishTiles, writeTiles } from "./tileWriter.ts";

const gpu = await testGpu();
const format = "bf16";

function rowsOf(count: number, rowBytes: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: count * rowBytes }, (_, i) => (i * 131 + (i >> 9)) & 255);
}

test.each([
  ["gathered", 2300, 1024, [900, 1, 1399]],
  ["piece by piece, of 17 MiB", 4200, 2056, [1500, 1, 2699]],
] as const)("%s", async (_, count, K, portions) => {
  const layout = tileLayout(format, K, count);
  const place = createTiles(gpu, "W", layout);
  const rows = rowsOf(count, layout.rowBytes);
  let end = count;
  for (const portion of [...portions].reverse()) {
    const part = rows.subarray((end - portion) * layout.rowBytes, end * layout.rowBytes);
    end -= portion;
    writeTiles(gpu, place, end, part, layout);
  }
  const held = await shardBytes(gpu, { firstRow: 0, rows: count, format, place }, K);
  expect(Buffer.compare(held, rows)).toBe(0);
  place.destroy();
});

test("memory that was used is used again, and holds what is written then", async () => {
  const layout = tileLayout(format, 1024, 300);
  for (let turn = 0; turn < 4; turn++) {
    const place = createTiles(gpu, "W", layout);
    const rows = rowsOf(300, layout.rowBytes).map((byte) => byte ^ turn);
    writeTiles(gpu, place, 0, rows, layout);
    const held = await shardBytes(gpu, { firstRow: 0, rows: 300, format, place }, 1024);
    expect(Buffer.compare(held, rows)).toBe(0);
    place.destroy();
  }
  finishTiles(gpu);
});

test("a device may be destroyed between two portions, and with memory that waits", async () => {
  const own = await openGpu({ adapter: process.env["NEURON_TEST_ADAPTER"] }, () => undefined);
  const layout = tileLayout(format, 1024, 300);
  const rows = rowsOf(150, layout.rowBytes);
  const [first, second] = [createTiles(own, "W", layout), createTiles(own, "W", layout)];
  writeTiles(own, first, 0, rows, layout);
  writeTiles(own, first, 150, rows, layout);
  await own.device.queue.onSubmittedWorkDone();
  writeTiles(own, second, 0, rows, layout);
  own.device.destroy();
  writeTiles(own, second, 150, rows, layout);
  writeTiles(own, first, 0, rows, layout);
  finishTiles(own);
  expect((await own.device.lost).reason).toBe("destroyed");
  own.destroy();
});
