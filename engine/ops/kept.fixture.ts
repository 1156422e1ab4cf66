// What tests of kernels make on the device: it is there until the last test of the file has run.
import { afterAll } from "vitest";
import { free, type Tensor, type Weight } from "../gpu/tensor.ts";

const made: (Tensor | Weight)[] = [];
afterAll(() => free(...made)); // of the file that imports this

export function kept<T extends Tensor | Weight>(value: T): T {
  made.push(value);
  return value;
}
