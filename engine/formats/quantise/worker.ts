// A converting thread: one conversion after another, in memory that it shares with who asks.
import { parentPort } from "node:worker_threads";
import { toPlainError } from "../../errors.ts";
import { convertInto } from "./convert.ts";
import type { FromThread, ToThread } from "./pool.ts";

parentPort!.on("message", (message: ToThread) => parentPort!.postMessage(answerTo(message)));

function answerTo({ job, out }: ToThread): FromThread {
  try {
    convertInto(job, out);
    return {};
  } catch (error) {
    return { error: toPlainError(error) };
  }
}
