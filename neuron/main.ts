#!/usr/bin/env node
import { startOutput } from "../kit/ending.ts";
import { run } from "./cli.ts";

const end = startOutput("neuron");
// Dawn's threads would keep the process.
end(await run(process.argv.slice(2)));
