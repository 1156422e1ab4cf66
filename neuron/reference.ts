// How a model is named: a folder, `org/name[@revision]` on the hub, or `demo`; and the folder that a name leads to.

import { existsSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, isAbsolute, join, resolve } from "node:path";
import { EngineError } from "../engine/errors.ts";
import { packageRoot } from "../engine/root.ts";

export type Reference =
  | { kind: "folder"; id: string; folder: string }
  | { kind: "hub"; id: string; name: string; revision: string };

export const demoFolder = join(packageRoot, "test-fixtures", "demo-model", "model");

const revisionName = /^\w[\w.-]*(\/\w[\w.-]*)*$/;
const hubName = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;

/** Folders that exist win over hub names; throws model_not_found for what can be neither. */
export function parseReference(text: string): Reference {
  if (text === "demo") return { kind: "folder", id: "demo", folder: checkFolder(demoFolder, "demo") };
  const path = text.startsWith("~/") ? join(homedir(), text.slice(2)) : text;
  if (looksLikePath(path) || existsSync(path)) {
    const folder = checkFolder(resolve(path), text);
    return { kind: "folder", id: basename(folder), folder };
  }
  const [name, revision = "main", ...more] = text.split("@");
  if (name === undefined || !hubName.test(name) || !revisionName.test(revision) || more.length > 0) {
    throw new EngineError(
      "model_not_found",
      `${text}: neither a folder here, nor a hub name of the form org/name[@revision], nor "demo"`,
      { param: "model_id" },
    );
  }
  return { kind: "hub", id: text, name, revision };
}

function looksLikePath(text: string): boolean {
  return isAbsolute(text) || text.startsWith("./") || text.startsWith("../") || text === "." || text === "..";
}

function checkFolder(folder: string, said: string): string {
  const details = { param: "model_id" };
  if (!existsSync(folder)) {
    throw new EngineError("model_not_found", `model folder ${folder} does not exist`, details);
  }
  if (!statSync(folder).isDirectory()) {
    throw new EngineError(
      "model_not_found",
      `${said} is a file; give the folder that holds config.json`,
      details,
    );
  }
  if (!existsSync(join(folder, "config.json"))) {
    throw new EngineError(
      "model_not_found",
      `${folder} holds no config.json, so it is no model folder`,
      details,
    );
  }
  return folder;
}
