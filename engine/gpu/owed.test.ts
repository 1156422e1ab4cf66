import { expect, test } from "vitest";
import { Owed } from "./owed.ts";

type Methods = Record<string, () => Promise<unknown>>;

/** Dawn's classes, with answers that the test gives. */
function classes() {
  const answers: (() => void)[] = [];
  const later = () => new Promise<void>((resolve) => answers.push(resolve));
  const of = (prototype: Methods) => ({ prototype });
  const all = {
    GPUBuffer: of({ mapAsync: later }),
    GPUQueue: of({ onSubmittedWorkDone: () => Promise.reject(new Error("lost")) }),
    GPUDevice: of({ createComputePipelineAsync: later, popErrorScope: later }),
    GPUShaderModule: of({ getCompilationInfo: later }),
  };
  return { all, answers };
}

test("what is open is waited for, what comes afterwards is refused", async () => {
  const { all, answers } = classes();
  const owed = new Owed(all);
  const device = all.GPUDevice.prototype;
  const queue = all.GPUQueue.prototype;
  const compiled = device["createComputePipelineAsync"]!();
  await expect(queue["onSubmittedWorkDone"]!()).rejects.toThrow("lost");
  let settled = false;
  const settling = owed.settled().then(() => (settled = true));
  await expect(device["popErrorScope"]!()).rejects.toThrow("given up");
  expect([settled, answers.length]).toEqual([false, 1]);
  answers[0]!();
  await compiled;
  await settling;
});

test("nothing is open: nothing is waited for", async () => {
  await new Owed(classes().all).settled();
});
