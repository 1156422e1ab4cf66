// The command line: what `neuron --help` says. The commands themselves are in commands/, one a file; every one returns
// its exit code: 0 done, 1 it failed, 2 wrong usage.

import { Command, CommanderError } from "commander";
import { EngineError } from "../engine/errors.ts";
import { AnswerError } from "../kit/client.ts";
import { colour } from "../kit/colour.ts";
import { complaintDocument, complaintOf, wantsJson } from "../kit/complaint.ts";
import { print } from "./commands/command.ts";
import type { World } from "./commands/command.ts";
import { commands } from "./commands/index.ts";
import { createLog } from "./log.ts";
import { defaultPort } from "./protocol.ts";
import { version } from "./version.ts";

const examples = `
Examples:
  neuron --model demo                          the bundled model, on the best device
  neuron --model Qwen/Qwen3-0.6B --device 0    a model of the hub, downloaded once
  neuron --model ./my-model --host 0.0.0.0     a folder, served to the network
  curl http://127.0.0.1:${defaultPort}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model":"demo","messages":[{"role":"user","content":"Hello!"}]}'

Settings: flags, then NEURON_… variables (NEURON_PORT, NEURON_HTTP__DRAIN_S), then neuron.toml.
Exit codes: 0 done, 1 it failed, 2 wrong usage.
With --json a failure is {"error": {"message", "code", …}} on standard output; of serve, a line of the log.`;

/** The engine, and all that needs it, is loaded by the command that does: `neuron --help` should not wait for Dawn. */
const here: World = {
  env: process.env,
  openEngine: async (options) => (await import("../engine/index.ts")).openEngine(options),
};

/** Runs one command; `args` as after the program's name. */
export async function run(args: readonly string[], world: World = here): Promise<number> {
  let code = 0;
  const program = createProgram(world, (result) => (code = result));
  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0; // help is no failure
    if (!wantsJson(args) || !serves(args)) return told(error, wantsJson(args));
    createLog({ level: "error", json: true }).error(textOf(error)); // the daemon has a log, and no result
    return error instanceof CommanderError ? 2 : 1;
  }
}

/** For people on standard error, for a script a document in the result's place. */
function told(error: unknown, asJson: boolean): number {
  const codes = (one: Error) => (one instanceof EngineError ? one.code : undefined);
  if (asJson) print(complaintDocument(complaintOf(error, codes)));
  if (error instanceof CommanderError) return 2; // it has printed its message already
  process.stderr.write(`${colour.red("error:")} ${textOf(error)}\n`);
  return 1;
}

/** `neuron serve`, and `neuron` alone. */
function serves([first = "serve"]: readonly string[]): boolean {
  return first === "serve" || first.startsWith("-");
}

/** One clear line a problem for what a user can cause; a stack only for our own mistakes. */
function textOf(error: unknown): string {
  const isTheirs =
    error instanceof EngineError
      ? error.code !== "internal"
      : error instanceof AnswerError || error instanceof CommanderError;
  return !isTheirs && error instanceof Error
    ? (error.stack ?? error.message)
    : String((error as Error).message);
}

/** The whole tree of commands; `finish` gets the exit code of the one that ran. */
export function createProgram(world: World = here, finish: (code: number) => void = () => {}): Command {
  const program = new Command("neuron")
    .description("Serves language models on this host's GPU through WebGPU, with an OpenAI-compatible API.")
    .version(version)
    .helpCommand("help [command]", "the options of a command") // by itself there is none where a program acts, too
    .enablePositionalOptions()
    .showHelpAfterError("(--help shows the options)")
    .exitOverride()
    .addHelpText("after", examples);
  for (const { group, adds } of commands) {
    program.commandsGroup(group);
    for (const add of adds) {
      add(
        program,
        (handler) =>
          async (...args) =>
            finish(await handler(world, ...args)),
      );
    }
  }
  // They have it from the program, which tells an unknown command by it.
  for (const command of program.commands) command.allowExcessArguments(false);
  refuseMisplaced(program);
  return program;
}

/** Flags before a command's name would be read and dropped. */
function refuseMisplaced(program: Command): void {
  program.hook("preAction", (_, command) => {
    const before = Object.keys(program.opts());
    if (command === program || before.length === 0) return;
    command.error(`error: options go after the command: neuron ${command.name()} --${before[0]} …`);
  });
}
