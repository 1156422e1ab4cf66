// Answers that come with the program, by what an adapter is called: measured before, so that nobody has to measure them
// again. Hardware has none yet: its guesses stand until the first load measures.
import type { DeviceReport } from "./report.ts";
import type { Answers } from "./tuning.ts";

const tables: readonly { adapter: RegExp; answers: Answers }[] = [];

export function shippedFor({ name, driver }: Pick<DeviceReport, "name" | "driver">): Answers {
  return tables.find(({ adapter }) => adapter.test(`${name} ${driver}`))?.answers ?? {};
}
