#!/usr/bin/env node
import { run } from "./cli.ts";

// Who reads our output may leave first (`cortex status | head`, a closed terminal): that is no error.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

const code = await run(process.argv.slice(2));
// What was printed must be out before we go. `serve` goes on.
if (code !== undefined) process.stdout.write("", () => process.exit(code));
