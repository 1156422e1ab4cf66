// node --import ./test-fixtures/typescript.mjs FILE.ts
// Runs our TypeScript unbuilt, worker threads included, on a Node which cannot do so by itself.
import { register } from "node:module";

register("./typescript-hooks.mjs", import.meta.url);
