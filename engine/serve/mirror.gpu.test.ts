// Rows and positions of decoding lie on the device, which moves them on by itself: while the same sequences go on the host
// writes nothing, and whatever comes between, each sequence's logits are those that it has alone.
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { parseConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { architectures } from "../models/registry.ts";
import { packageRoot } from "../root.ts";
import { Mirror } from "./mirror.ts";
import { Sequence } from "./oneSequence.ts";
import { greedy } from "./ask.fixture.ts";
import { Runner } from "./runner.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let gpu: Gpu;
let runner: Runner;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  gpu = await testGpu();
  const checkpoint = await openCheckpoint(join(packageRoot, "test-fixtures/reference/qwen3_5-tiny-text"));
  const config = parseConfig(checkpoint.config, checkpoint.configFile);
  const loader = new Loader(gpu, checkpoint);
  const network = await architectures[config.modelType](loader, config);
  await loader.fill();
  const options = { contextLength: 64, slots: 3, chunk: 16, flopsPerSubmit: Infinity };
  runner = await Runner.create(gpu, network, config, options);
  closing.push(
    () => runner.destroy(),
    () => loader.dispose(),
    () => checkpoint.close(),
  );
});

afterAll(async () => {
  for (const close of closing) await close();
});

const prompts = [
  [1, 5, 9, 13],
  [2, 4, 8, 16, 32, 64, 128],
  [200, 100, 50, 25, 12],
];
/** The sequences of each turn, told by their slots: some that go on, some that leave, come back, and change places. */
const turns = [
  [0],
  [0],
  [0],
  [0, 1],
  [0, 1],
  [1, 0],
  [0, 1, 2],
  [0, 1, 2],
  [0, 1, 2],
  [2],
  [2],
  [1, 2],
  [1, 2],
  [1],
];

/** What each turn draws, with the likeliest tokens' log-probabilities, and how many buffers the host wrote for it. */
async function drawn(): Promise<{ draws: unknown[]; writes: number[] }> {
  const sequences = prompts.map((_, slot) => new Sequence(runner, { slot, chunk: 16 }));
  for (const [slot, prompt] of prompts.entries()) {
    const sampling = { ...greedy, temperature: slot, seed: slot };
    runner.start(slot, { sampling, prompt, drawn: [], candidates: 3, masked: false });
    await sequences[slot]!.prompt(prompt, "token");
  }
  const write = vi.spyOn(gpu.device.queue, "writeBuffer");
  const [draws, writes]: [unknown[], number[]] = [[], []];
  for (const slots of turns) {
    write.mockClear();
    const tokens = slots.map((slot) => ({
      ...sequences[slot]!.next(undefined, "token"),
      want: { candidates: 3 },
    }));
    draws.push(...(await runner.turn(tokens)).decoded);
    writes.push(write.mock.calls.length);
  }
  write.mockRestore();
  return { draws, writes };
}

test("the host writes where a turn's sequences are not those of the one before, and never else", async () => {
  const own = await drawn();
  const said = vi.spyOn(Mirror.prototype, "precedes").mockReturnValue(false);
  const told = await drawn();
  said.mockRestore();
  expect(told.writes.every((count) => count === 5)).toBe(true);
  expect(own.writes).toEqual([5, 0, 0, 5, 0, 5, 5, 0, 0, 5, 0, 5, 0, 5]);
  expect(own.draws).toEqual(told.draws);
});

test("a host that keeps still where it should not is found out", async () => {
  const told = await drawn();
  const still = vi.spyOn(Mirror.prototype, "precedes").mockReturnValue(true);
  const wrong = await drawn();
  still.mockRestore();
  expect(wrong.draws).not.toEqual(told.draws);
});

test("what comes behind a run that the device refused is as if that had never been", async () => {
  const last = async (refused: boolean) => {
    const before = new Sequence(runner, { chunk: 16 });
    await before.prompt(prompts[0]!, "token");
    await before.feed(undefined, "token");
    const submit = vi.spyOn(gpu.device.queue, "submit");
    if (refused) submit.mockReturnValue(undefined);
    await before.feed(undefined, "token");
    submit.mockRestore();
    const behind = new Sequence(runner, { chunk: 16 }); // its first token has the row that would have been next
    await behind.prompt([...prompts[0]!, 3, 7], "token");
    return (await runner.turn([behind.next(undefined, "logits")])).decoded[0];
  };
  expect(await last(true)).toEqual(await last(false));
});
