import { randomUUID } from "node:crypto";

/** "resp_" and 32 hex digits, for "resp_". */
export function newId(prefix: string): string {
  return prefix + randomUUID().replaceAll("-", "");
}
