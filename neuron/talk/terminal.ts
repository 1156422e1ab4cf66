// The real terminal: line editing with a history that outlives the process, and Ctrl-C as "stop this answer".

import { appendFileSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Terminal } from "./repl.ts";

const kept = 1000;

function historyFile(env: NodeJS.ProcessEnv): string {
  const state = env["XDG_STATE_HOME"] || join(env["HOME"] || homedir(), ".local", "state");
  return join(state, "neuron", "chat_history");
}

export function openTerminal(env: NodeJS.ProcessEnv): Terminal {
  const file = historyFile(env);
  const history = readHistory(file);
  return {
    ask: (prompt) => askLine(prompt, history, (line) => remember(file, history, line)),
    write: (text) => void process.stdout.write(text),
    interruptible,
  };
}

/** An interface for each line: between lines the terminal is its usual self, and Ctrl-C a signal. */
function askLine(
  prompt: string,
  history: string[],
  remember: (line: string) => void,
): Promise<string | undefined> {
  const lines = createInterface({
    ...{ input: process.stdin, output: process.stdout, prompt },
    ...{ history: [...history], historySize: kept, removeHistoryDuplicates: true },
  });
  return new Promise((resolve) => {
    let answer: string | undefined;
    lines.on("line", (line) => {
      answer = line;
      if (line.trim() !== "") remember(line);
      lines.close();
    });
    // What was typed is dropped, and asked for anew.
    lines.on("SIGINT", () => {
      process.stdout.write(lines.line === "" ? "\n(Ctrl-D or /bye leaves)\n" : "\n");
      answer = "";
      lines.close();
    });
    lines.on("close", () => {
      if (answer === undefined) process.stdout.write("\n");
      resolve(answer);
    });
    lines.prompt();
  });
}

function interruptible(): { signal: AbortSignal; done: () => void } {
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.on("SIGINT", onSignal);
  return { signal: stop.signal, done: () => void process.off("SIGINT", onSignal) };
}

/** Newest first, as readline wants it. */
function readHistory(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split("\n").filter(Boolean).slice(-kept).reverse();
  } catch {
    return []; // none yet, or not ours to read
  }
}

function remember(file: string, history: string[], line: string): void {
  if (history[0] === line) return;
  history.unshift(line);
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    appendFileSync(file, `${line}\n`, { mode: 0o600 });
  } catch {
    // A home that cannot be written to is no reason not to talk.
  }
}
