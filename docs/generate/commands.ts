// docs/reference/commands.md: both command lines, as --help tells them.

import type { Command } from "commander";
import { createProgram as cortex } from "../../gateway/cli.ts";
import { createProgram as neuron } from "../../neuron/cli.ts";

export function commandsPage(): string {
  return [
    "# Commands",
    "",
    "What `--help` says, for every command. Output for people goes to standard output, progress and warnings to standard",
    "error; `--json` turns the former into JSON. Colours and progress bars appear on a terminal only (`NO_COLOR` and",
    "`FORCE_COLOR` are honoured).",
    "",
    "| exit code | `neuron` | `cortex` |",
    "|---|---|---|",
    "| 0 | done | done, and all is well |",
    "| 1 | it failed | it failed, or something is not well |",
    "| 2 | wrong usage | wrong usage, or nobody answers |",
    "",
    "With `--json` standard output is one JSON document, whatever happens: a command that fails writes one of its failure in",
    "place of the result, and the line for people on standard error. `code` is one of the daemon's errors, or `wrong_usage`,",
    "`no_answer` (nobody answers, or not in time, or something else does), `request_failed` (a no without a code),",
    "`internal`; `status` is HTTP's, where a daemon said no. `cortex check`, `cortex validate`, `neuron doctor` and",
    "`neuron verify` report what they found, good or bad. `neuron serve` has no result: there `--json` is the form of its log.",
    "",
    "```json",
    '{"error": {"message": "No neuron is called \'c\'. (404)", "code": "not_found", "status": 404}}',
    "```",
    "",
    ...[neuron(), cortex()].flatMap((program) => sections(program, "")),
  ].join("\n");
}

function sections(command: Command, before: string): string[] {
  const name = `${before}${command.name()}`;
  const help = command.createHelp();
  const below = help.visibleCommands(command).filter((sub) => sub.name() !== "help");
  return [
    `${before === "" ? "##" : "###"} ${name}`,
    "",
    "```text",
    helpText(command),
    "```",
    "",
    ...below.flatMap((sub) => sections(sub, `${name} `)),
  ];
}

/** At a fixed width, whoever asks. */
function helpText(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (part) => (text += part),
    getOutHelpWidth: () => 100,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return text.trim().replace(/[ \t]+$/gm, "");
}
