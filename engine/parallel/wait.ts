// Waiting for shared memory without blocking the thread.

/** Node has it; TypeScript's library for its version does not say so. */
interface WaitAsync {
  waitAsync(
    array: Int32Array,
    index: number,
    value: number,
    timeout: number,
  ): { value: string | Promise<string> };
}

/** Until the word is no longer `value`, or for so long. */
export async function waitForChange(
  control: Int32Array,
  index: number,
  value: number,
  ms: number,
): Promise<void> {
  await (Atomics as unknown as WaitAsync).waitAsync(control, index, value, ms).value;
}
