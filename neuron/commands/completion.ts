// `neuron completion SHELL`: the script that completes this command line.

import { Argument } from "commander";
import type { Command } from "commander";
import { completionScript, shells } from "../../kit/completion.ts";
import type { Shell } from "../../kit/completion.ts";
import { print } from "./command.ts";
import type { Act } from "./command.ts";

const help = `
To have it in every shell:
  bash   echo 'source <(neuron completion bash)' >> ~/.bashrc
  zsh    echo 'source <(neuron completion zsh)' >> ~/.zshrc      (after compinit)
  fish   neuron completion fish > ~/.config/fish/completions/neuron.fish`;

export function addCompletion(program: Command, act: Act): void {
  program
    .command("completion")
    .description("print a script that completes commands, options and models")
    .addArgument(new Argument("<shell>", "for which shell").choices(shells))
    .addHelpText("after", help)
    .action(
      act(async (_world, shell: Shell) => {
        print(completionScript(program, shell, "neuron ls --quiet").trimEnd());
        return 0;
      }),
    );
}
