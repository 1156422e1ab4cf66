// A load that fails leaves nothing on the device, whatever it had made until then. On the null backend: no GPU needed.
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { demoModel } from "../../test-fixtures/golden.ts";
import { openGpu, type Gpu } from "../gpu/adapter.ts";
import { loadModel, type LoadHooks } from "./device.ts";
import { LoadWatch } from "./loadWatch.ts";
import { Pulse } from "./pulse.ts";

let gpu: Gpu;
let folder: string;
const live = new Set<GPUBuffer>();

beforeAll(async () => {
  gpu = await openGpu({ backend: "null" }, () => undefined);
  const create = gpu.device.createBuffer.bind(gpu.device);
  gpu.device.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    if (descriptor.label === "readback") return buffer; // the device's, whichever model it is for
    const destroy = buffer.destroy.bind(buffer);
    live.add(buffer);
    buffer.destroy = () => {
      live.delete(buffer);
      return destroy();
    };
    return buffer;
  };
  folder = await mkdtemp(join(tmpdir(), "load-"));
  await cp(demoModel, folder, { recursive: true });
});
afterAll(async () => {
  gpu.destroy();
  await rm(folder, { recursive: true });
});

/** Loads a copy of the demo model whose config.json is changed. */
async function loadWith(
  change: (config: { text_config: Record<string, unknown> }) => void,
  contextLength = 64,
  hooks: LoadHooks = {},
) {
  const config = JSON.parse(await readFile(join(demoModel, "config.json"), "utf8")) as never;
  change(config);
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  return loadModel(gpu, folder, { contextLength }, hooks);
}

test("a model that loads holds buffers, and gives all of them back", async () => {
  const model = await loadWith(() => undefined);
  expect(live.size).toBeGreaterThan(50);
  model.destroy();
  expect(live.size).toBe(0);
});

test("a tensor of the wrong shape in the last layer", async () => {
  const broken = loadWith(({ text_config }) => (text_config["intermediate_size"] = 516));
  await expect(broken).rejects.toMatchObject({ code: "bad_checkpoint" });
  expect(live.size).toBe(0);
});

test("a cache that does not fit, after weights and other caches were made", async () => {
  const large = loadWith(({ text_config }) => (text_config["max_position_embeddings"] = 2 ** 24), 2 ** 22);
  await expect(large).rejects.toMatchObject({ code: "out_of_memory" });
  expect(live.size).toBe(0);
});

test("a layer more than the checkpoint has", async () => {
  const longer = loadWith(({ text_config }) => {
    text_config["num_hidden_layers"] = 5;
    text_config["layer_types"] = ["linear", "full", "linear", "full", "full"].map(
      (type) => `${type}_attention`,
    );
  });
  await expect(longer).rejects.toMatchObject({ code: "bad_checkpoint" });
  expect(live.size).toBe(0);
});

test("a disk that hangs: the load is given up, another model stays, and what is read too late is of no matter", async () => {
  const other = await loadWith(() => undefined);
  const [before, errors] = [live.size, [] as string[]];
  gpu.device.addEventListener("uncapturederror", ({ error }) => errors.push(error.message));
  let read: () => void = () => undefined;
  let pieces = 0;
  const hang = new Promise<void>((resolve) => (read = resolve));
  const onRead = () => ((pieces += 1) === 9 ? hang : Promise.resolve());
  const options = { limitMs: 600, name: "demo", gpu, pulse: new Pulse() };
  const watch = new LoadWatch({ ...options, onRead });
  const stalled = loadWith(() => undefined, 64, { watch });
  await expect(stalled).rejects.toMatchObject({
    code: "load_stalled",
    message: expect.stringMatching(
      /^demo: given up after 0.6 s without progress in reading model\./,
    ) as string,
  });
  expect(live.size).toBe(before);
  const seen = pieces; // other tensors were read meanwhile
  read();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect([pieces, live.size, errors]).toEqual([seen, before, []]);
  const again = new LoadWatch(options);
  (await loadWith(() => undefined, 64, { watch: again })).destroy();
  again.end();
  other.destroy();
  expect(live.size).toBe(0);
});
