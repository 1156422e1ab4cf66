// Answers that come with the program, by what an adapter is called: measured before, so that nobody has to measure them
// again. An answer for `*` is for all shapes of a format. Hardware has none yet: its guesses stand until the first load
// measures.
import type { DeviceReport } from "./report.ts";
import type { Answers } from "./tuning.ts";

const tables: readonly { adapter: RegExp; answers: Answers }[] = [
  {
    adapter: /^llvmpipe/, // of f32's time q8_0 takes 0.74, the others 0.55 (bench/LOG.md)
    answers: {
      ...{ "matmul q8_0 *": "bytes", "matmul q4_0 *": "bytes", "matmul q4_k *": "bytes" },
      ...{
        "matvec q8_0 *": "bytes",
        "matvec q4_0 *": "bytes",
        "matvec q4_k *": "bytes",
        "matvec q6_k *": "bytes",
      },
    },
  },
];

export function shippedFor({ name, driver }: Pick<DeviceReport, "name" | "driver">): Answers {
  return tables.find(({ adapter }) => adapter.test(`${name} ${driver}`))?.answers ?? {};
}
