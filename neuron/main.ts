#!/usr/bin/env node
import { run } from "./cli.ts";

// `neuron doctor | head` closes the pipe early: that is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

const code = await run(process.argv.slice(2));
// Dawn's threads would keep the process; what was printed must be out before it goes.
process.stdout.write("", () => process.exit(code));
