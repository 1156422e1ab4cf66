// How a model is named: a folder, a GGUF file, `org/name[@revision]` on the hub, or `demo`; and behind it `:quant`, the
// form that its weights are wanted in, as llama.cpp and Ollama write it.

import { existsSync, readdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, isAbsolute, join, resolve } from "node:path";
import { EngineError } from "../engine/errors.ts";
import { packageRoot } from "../engine/root.ts";

export type Reference = LocalReference | HubReference;

export interface LocalReference {
  kind: "local";
  id: string;
  /** A model folder, or a GGUF file. */
  path: string;
  quant: string | undefined;
}

export interface HubReference {
  kind: "hub";
  id: string;
  name: string;
  revision: string;
  /** A label (Q4_K_M) or the name of one of its GGUF files; of floats, what they are quantised to. */
  quant: string | undefined;
}

export const demoFolder = join(packageRoot, "test-fixtures", "demo-model", "model");

const revisionName = /^\w[\w.-]*(\/\w[\w.-]*)*$/;
const hubName = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;
/** What precedes names of the hub in other tools. */
const hubHost = /^(https:\/\/)?(hf\.co|huggingface\.co)\//;
const details = { param: "model_id" };

/** What exists here wins over hub names; throws model_not_found for what can be neither. */
export function parseReference(text: string): Reference {
  const path = text.startsWith("~/") ? join(homedir(), text.slice(2)) : text;
  const [before, quant] = splitAtQuant(path);
  if (before === "demo") {
    return { kind: "local", id: text, path: checkPlace(demoFolder, "demo"), quant };
  }
  if (existsSync(path)) return local(path, text, undefined);
  if (looksLikePath(path) || (quant !== undefined && existsSync(before))) return local(before, text, quant);
  return onHub(text);
}

/** The same in the form `quant`. Throws bad_request where the reference names another form itself. */
export function withQuant<R extends Reference>(reference: R, quant: string | undefined): R {
  if (quant === undefined || reference.quant?.toLowerCase() === quant.toLowerCase()) return reference;
  if (reference.quant === undefined) return { ...reference, quant };
  const message = `quant: is ${quant}, and ${reference.id} asks for ${reference.quant}`;
  throw new EngineError("bad_request", message, { param: "quant" });
}

/** What tells two models apart: the file or folder, or the name on the hub, and the form. */
export function sourceOf(reference: Reference): string {
  const at = reference.kind === "local" ? reference.path : `${reference.name}@${reference.revision}`;
  return reference.quant === undefined ? at : `${at}:${reference.quant.toLowerCase()}`;
}

function onHub(text: string): HubReference {
  const [before, quant] = splitAtQuant(text.replace(hubHost, ""));
  const [name = "", revision = "main", ...more] = before.split("@");
  if (hubName.test(name) && revisionName.test(revision) && more.length === 0) {
    return { kind: "hub", id: text, name, revision, quant };
  }
  const forms = `nor a hub name of the form org/name[@revision][:quant], nor "demo"`;
  throw new EngineError("model_not_found", `${text}: neither a folder or .gguf file here, ${forms}`, details);
}

/** `before:quant`; the colon of a Windows drive or of a URL is none. */
function splitAtQuant(text: string): [before: string, quant: string | undefined] {
  const match = /^(.{2,}):([\w.-]+(?:\/[\w.-]+\.gguf)?)$/.exec(text);
  return match ? [match[1]!, match[2]!] : [text, undefined];
}

function local(path: string, said: string, quant: string | undefined): LocalReference {
  const place = checkPlace(resolve(path), said);
  const name = basename(place).replace(/(-\d{5}-of-\d{5})?\.gguf$/, "");
  return { kind: "local", id: quant === undefined ? name : `${name}:${quant}`, path: place, quant };
}

function looksLikePath(text: string): boolean {
  return isAbsolute(text) || text.startsWith("./") || text.startsWith("../") || text === "." || text === "..";
}

function checkPlace(path: string, said: string): string {
  const fail = (message: string) => new EngineError("model_not_found", message, details);
  if (!existsSync(path)) {
    throw fail(`model ${path.endsWith(".gguf") ? "file" : "folder"} ${path} does not exist`);
  }
  if (!statSync(path).isDirectory()) {
    if (path.endsWith(".gguf")) return path;
    throw fail(`${said} is a file, and no .gguf; give the folder that holds config.json, or a .gguf file`);
  }
  if (!existsSync(join(path, "config.json")) && !holdsGguf(path)) {
    throw fail(`${path} holds neither config.json nor a .gguf file, so it is no model folder`);
  }
  return path;
}

/** Itself, or one folder down. */
function holdsGguf(folder: string, deep = true): boolean {
  return readdirSync(folder, { withFileTypes: true }).some((entry) => {
    if (entry.name.endsWith(".gguf")) return true;
    return deep && entry.isDirectory() && holdsGguf(join(folder, entry.name), false);
  });
}
