import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const { ModuleKind, ScriptTarget } = ts;

export async function load(url, context, nextLoad) {
  if (!url.startsWith("file:") || !url.endsWith(".ts")) return nextLoad(url, context);
  const { outputText } = ts.transpileModule(await readFile(fileURLToPath(url), "utf8"), {
    fileName: url,
    compilerOptions: { module: ModuleKind.ESNext, target: ScriptTarget.ES2023, inlineSourceMap: true },
  });
  return { format: "module", source: outputText, shortCircuit: true };
}
