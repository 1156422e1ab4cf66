// npm run bench -- COMMAND: a table for people, and for machines one line of JSON at its end or a line a row in
// bench/results.
import { commands, parse, usage } from "./commands.ts";

async function main(): Promise<void> {
  const {
    values: { help, ...values },
    positionals,
  } = parse();
  if (help) return console.log(usage);
  const [name = "all", ...args] = positionals;
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  const [least, most] = command?.args ?? [0, 0];
  if (!command || args.length < least || args.length > most) throw new Error(usage);
  const known = (flag: string) => (command.flags as readonly string[]).includes(flag);
  const strange = Object.keys(values).find((flag) => !known(flag));
  if (strange !== undefined) throw new Error(`--${strange}: "${name}" has no such option\n${usage}`);
  await command.run({ args, values });
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
