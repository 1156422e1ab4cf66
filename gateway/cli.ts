// The command line: what `cortex --help` says. The commands themselves are in commands/, one a file.

import { Command, CommanderError } from "commander";
import { AnswerError } from "../kit/client.ts";
import { complaintDocument, complaintOf, wantsJson } from "../kit/complaint.ts";
import { print } from "./commands/command.ts";
import { commands } from "./commands/index.ts";
import { ConfigError } from "./config.ts";
import { packageVersion } from "./version.ts";

const examples = `
Examples:
  cortex                                       the gateway, a local neuron and the demo model
  cortex serve --config ./cortex.toml          the gateway in front of the neurons listed there
  cortex status --endpoint http://10.0.0.1:31313

Settings: flags, then CORTEX_… variables (CORTEX_GATEWAY__LISTEN), then cortex.toml and models.toml.
Exit codes: 0 done, and all is well; 1 it failed, or something is not well; 2 wrong usage, or nobody answers.
With --json a failure is {"error": {"message", "code", …}} on standard output.`;

/** Runs one command; `args` as after the program's name. Undefined: the process goes on, and ends itself. */
export async function run(args: readonly string[]): Promise<number | undefined> {
  let code: number | undefined;
  const program = createProgram((result) => (code = result));
  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    // Commander has printed its message already, and help is no failure.
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const complaint = complaintOf(error, (one) => (one instanceof ConfigError ? "bad_config" : undefined));
    if (wantsJson(args)) print(complaintDocument(complaint));
    if (error instanceof CommanderError) return 2;
    if (!(error instanceof ConfigError || error instanceof AnswerError)) throw error;
    console.error(`cortex: ${error.message}`);
    return complaint.code === "no_answer" ? 2 : 1;
  }
}

/** The whole tree of commands; `finish` gets the exit code of the one that ran. */
export function createProgram(finish: (code: number | undefined) => void = () => {}): Command {
  const program = new Command("cortex")
    .description("One OpenAI- and Anthropic-compatible address in front of any number of neurons.")
    .version(packageVersion())
    .showHelpAfterError("(--help shows the options)")
    .exitOverride()
    .addHelpText("after", examples);
  for (const { group, adds } of commands) {
    program.commandsGroup(group);
    for (const add of adds)
      add(
        program,
        (handler) =>
          async (...args) =>
            finish(await handler(...args)),
      );
  }
  return program;
}
