// TypeScript to JavaScript, one file at a time, kept beside the packages by what went in: to start the compiler costs a
// process or thread a second, to read what it made last time nearly nothing.
import { createHash, randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const packages = fileURLToPath(new URL("../node_modules/", import.meta.url));
const { version } = JSON.parse(readFileSync(join(packages, "typescript/package.json"), "utf8"));
const kept = join(packages, ".cache", `transpiled-${version}`);

export async function load(url, context, nextLoad) {
  if (!url.startsWith("file:") || !url.endsWith(".ts")) return nextLoad(url, context);
  const text = readFileSync(fileURLToPath(url), "utf8");
  // The address is in the source map.
  const path = join(kept, createHash("sha1").update(url).update("\0").update(text).digest("hex"));
  return { format: "module", source: read(path) ?? (await transpile(url, text, path)), shortCircuit: true };
}

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

async function transpile(fileName, text, path) {
  const { default: ts } = await import("typescript");
  const { outputText } = ts.transpileModule(text, {
    fileName,
    compilerOptions: {
      module: ts.ModuleKind.ESNext,
      target: ts.ScriptTarget.ES2023,
      inlineSourceMap: true,
    },
  });
  try {
    mkdirSync(kept, { recursive: true });
    const whole = `${path}.${randomUUID()}`;
    writeFileSync(whole, outputText);
    renameSync(whole, path); // others may read meanwhile
  } catch {
    // a folder that may not be written to: then it is made anew each time
  }
  return outputText;
}
