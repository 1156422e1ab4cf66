#!/usr/bin/env node
import { startOutput } from "../kit/ending.ts";
import { run } from "./cli.ts";

const end = startOutput("cortex");
const code = await run(process.argv.slice(2));
if (code !== undefined) end(code); // `serve` goes on
