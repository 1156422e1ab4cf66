// A converting thread: one conversion after another, buffers passed on, not copied.
import { parentPort } from "node:worker_threads";
import { toPlainError } from "../../errors.ts";
import { convert, type Conversion } from "./convert.ts";
import type { FromThread } from "./pool.ts";

parentPort!.on("message", (job: Conversion) => {
  const answer = answerTo(job);
  parentPort!.postMessage(answer, "rows" in answer ? [answer.rows.buffer] : []);
});

function answerTo(job: Conversion): FromThread {
  try {
    return { rows: convert(job) };
  } catch (error) {
    return { error: toPlainError(error) };
  }
}
