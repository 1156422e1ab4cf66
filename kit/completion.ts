// Completion scripts for bash, zsh and fish, made from a program's own tree of commands. Each script walks the words
// before the cursor to the command they name ("/key/create"), then offers what may stand there. Pure.

import type { Argument, Command, Option } from "commander";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** What may stand in a value's place. */
type Values = { words: readonly string[] } | "files" | "folders" | "models" | "unknown";

interface Entry {
  /** "" for the program itself, "/ls", "/key/create". */
  path: string;
  about: string;
  /** Names of the commands below. */
  commands: { name: string; about: string }[];
  options: { flags: string[]; about: string; values: Values | undefined }[];
  argument: Values | undefined;
}

/** `listModels`: the command that prints model names, one a line; it runs when a name is completed. */
export function completionScript(program: Command, shell: Shell, listModels: string): string {
  const write = { bash, zsh, fish }[shell];
  return write(program.name(), entries(program), listModels);
}

function entries(command: Command, path = ""): Entry[] {
  const helper = command.createHelp();
  const below = helper.visibleCommands(command).filter((sub) => sub.name() !== "help");
  const argument = command.registeredArguments[0];
  const entry: Entry = {
    path,
    about: plain(command.description()),
    commands: below.map((sub) => ({ name: sub.name(), about: plain(sub.description()) })),
    options: helper.visibleOptions(command).map((option) => ({
      flags: [option.short, option.long].filter((flag) => typeof flag === "string"),
      about: plain(option.description),
      values: option.required || option.optional ? valuesOf(option, option.flags) : undefined,
    })),
    argument: argument && valuesOf(argument, argument.name()),
  };
  return [entry, ...below.flatMap((sub) => entries(sub, `${path}/${sub.name()}`))];
}

/** Told by its choices, or by what its placeholder is called. */
function valuesOf({ argChoices }: Option | Argument, text: string): Values {
  if (argChoices) return { words: argChoices };
  if (/file/.test(text)) return "files";
  if (/folder|dir/.test(text)) return "folders";
  return /model|ref/.test(text) ? "models" : "unknown";
}

/** One line without the characters that mean something to a shell, so that any of them can quote it simply. */
function plain(text: string): string {
  return text
    .split("\n")[0]!
    .replace(/["'`$\\]/g, "")
    .replaceAll(":", " -");
}

/** Shell code that leaves the command's path in `path`, given the words before the cursor. */
function walk(all: readonly Entry[], words: string): string {
  const known = all.filter(({ path }) => path !== "").map(({ path }) => path);
  return `  local path= word
  for word in ${words}; do
    case $path/$word in ${known.join("|")}) path=$path/$word ;; esac
  done`;
}

function valueCases(all: readonly Entry[], act: (values: Values) => string): string {
  const cases = all.flatMap(({ path, options }) =>
    options.flatMap(({ flags, values }) =>
      values ? [`    ${flags.map((flag) => `${path}:${flag}`).join("|")}) ${act(values)}; return ;;`] : [],
    ),
  );
  return `  case $path:$before in\n${cases.join("\n")}\n  esac`;
}

function bash(name: string, all: readonly Entry[], listModels: string): string {
  const offer = (values: Values): string => {
    if (values === "files") return `mapfile -t COMPREPLY < <(compgen -f -- "$now")`;
    if (values === "folders") return `mapfile -t COMPREPLY < <(compgen -d -- "$now")`;
    if (values === "unknown") return "COMPREPLY=()";
    const words = values === "models" ? `$(${listModels} 2>/dev/null)` : values.words.join(" ");
    return `mapfile -t COMPREPLY < <(compgen -W "${words}" -- "$now")`;
  };
  const places = all.map(({ path, commands, options, argument }) => {
    const flags = offer({ words: options.flatMap((option) => option.flags) });
    const rest = commands.length > 0 ? { words: commands.map((sub) => sub.name) } : (argument ?? "unknown");
    return `    "${path}") if [[ $now == -* ]]; then ${flags}; else ${offer(rest)}; fi ;;`;
  });
  return `# bash completion of ${name}; to have it: source <(${name} completion bash)
_${name}() {
  local now=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]}
${walk(all, '"${COMP_WORDS[@]:1:COMP_CWORD-1}"')}
${valueCases(all, offer)}
  case $path in
${places.join("\n")}
  esac
}
complete -o filenames -F _${name} ${name}
`;
}

function zsh(name: string, all: readonly Entry[], listModels: string): string {
  const offer = (values: Values): string => {
    if (values === "files") return "_files";
    if (values === "folders") return "_files -/";
    if (values === "unknown") return "true";
    return values === "models"
      ? `compadd -- \${(f)"$(${listModels} 2>/dev/null)"}`
      : `compadd -- ${values.words.join(" ")}`;
  };
  const described = (list: { word: string; about: string }[]) =>
    `offers=(${list.map(({ word, about }) => `'${word}:${about}'`).join(" ")}); _describe ${name} offers`;
  const places = all.map(({ path, commands, options, argument }) => {
    const flags = options.flatMap(({ flags, about }) => flags.map((word) => ({ word, about })));
    const subs = commands.map((sub) => ({ word: sub.name, about: sub.about }));
    const rest = commands.length > 0 ? described(subs) : offer(argument ?? "unknown");
    return `    "${path}") if [[ $now == -* ]]; then ${described(flags)}; else ${rest}; fi ;;`;
  });
  return `#compdef ${name}
# zsh completion of ${name}; to have it: source <(${name} completion zsh)
_${name}() {
  local now=$words[CURRENT] before=$words[CURRENT-1]
  local -a offers
${walk(all, '"${words[@]:1:$((CURRENT-2))}"')}
${valueCases(all, offer)}
  case $path in
${places.join("\n")}
  esac
}
compdef _${name} ${name}
`
    .replaceAll("$path", "$at")
    .replaceAll("path=", "at="); // zsh ties $path to $PATH
}

function fish(name: string, all: readonly Entry[], listModels: string): string {
  const offer = (values: Values): string => {
    if (values === "files") return "-r -F";
    if (values === "folders") return "-x -a '(__fish_complete_directories)'";
    if (values === "unknown") return "-x";
    return values === "models"
      ? `-x -a '(${listModels.replaceAll("'", "\\'")} 2>/dev/null)'`
      : `-x -a '${values.words.join(" ")}'`;
  };
  const known = all.filter(({ path }) => path !== "").map(({ path }) => path);
  const lines = all.flatMap(({ path, commands, options, argument }) => {
    const here = `complete -c ${name} -n 'test (__${name}_at) = "@${path}"'`;
    return [
      ...commands.map((sub) => `${here} -f -a ${sub.name} -d '${sub.about}'`),
      ...(argument
        ? [
            `${here} ${offer(argument)
              .replace(/^-[rx] ?/, "-f ")
              .replace("-f -F", "-F")}`,
          ]
        : []),
      ...options.map(({ flags, about, values }) => {
        const names = flags.map((f) => (f.startsWith("--") ? `-l ${f.slice(2)}` : `-s ${f.slice(1)}`));
        return `${here} ${names.join(" ")} ${values ? `${offer(values)} ` : ""}-d '${about}'`;
      }),
    ];
  });
  return `# fish completion of ${name}; to have it: ${name} completion fish | source
function __${name}_at
    set -l at @
    for word in (commandline -opc)[2..]
        contains -- "$at/$word" ${known.map((path) => `@${path}`).join(" ")}; and set at "$at/$word"
    end
    echo $at
end
complete -c ${name} -f
${lines.join("\n")}
`;
}
