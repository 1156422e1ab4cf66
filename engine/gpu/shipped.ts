// Answers that come with the program, by what an adapter is called: measured before, so that nobody has to measure them
// again. An answer for `*` is for all shapes of a format. Hardware has none yet: its guesses stand until the first load
// measures.
import type { DeviceReport } from "./report.ts";
import { isBlockFormat, weightFormats } from "./tensor.ts";
import type { Answers } from "./tuning.ts";

const blocks = weightFormats.filter(isBlockFormat);

/** Of f32's time a prompt takes 0.5 to 0.62 in bytes, a token 0.65 to 0.8 (bench/LOG.md). */
const llvmpipe: Answers = Object.fromEntries([
  ...blocks.filter((format) => format !== "q2_k").map((format) => [`matmul ${format} *`, "bytes"]),
  ...blocks.map((format) => [`matvec ${format} *`, "bytes"]),
]);

const tables: readonly { adapter: RegExp; answers: Answers }[] = [
  { adapter: /^llvmpipe/, answers: llvmpipe },
];

export function shippedFor({ name, driver }: Pick<DeviceReport, "name" | "driver">): Answers {
  return tables.find(({ adapter }) => adapter.test(`${name} ${driver}`))?.answers ?? {};
}
