// The vocabulary that model files are written in.
export * from "./sample.ts";
export * from "./attend.ts";
export * from "./attention.ts";
export * from "./delta.ts";
export * from "./embed.ts";
export * from "./kv-cache.ts";
export * from "./linear.ts";
export * from "./moe.ts";
export * from "./norm.ts";
export * from "./qkv.ts";
export * from "./rows.ts";
export { tune } from "./tune.ts";
export * from "./vision.ts";
