// `neuron chat`: talk to a model at the terminal, or ask it one thing from a script.

import { fstatSync } from "node:fs";
import { text as readAll } from "node:stream/consumers";
import type { Command } from "commander";
import { EngineError } from "../../engine/errors.ts";
import { baseOf, chat } from "../../kit/client.ts";
import { endpoint } from "../../kit/endpoint.ts";
import { colour } from "../../kit/colour.ts";
import { createLog } from "../log.ts";
import type { Log } from "../log.ts";
import { parseReference, withQuant } from "../reference.ts";
import { emptyAnswer, readAnswer } from "../talk/answer.ts";
import { Conversation } from "../talk/conversation.ts";
import { readPicture } from "../talk/picture.ts";
import { findPlace } from "../talk/place.ts";
import type { Place, StartOwn } from "../talk/place.ts";
import { converse } from "../talk/repl.ts";
import { openTerminal } from "../talk/terminal.ts";
import { print } from "./command.ts";
import type { Act, World } from "./command.ts";
import { collect, deviceOptions, settings } from "./flags.ts";
import type { ServeFlags } from "./flags.ts";

interface ChatFlags extends Pick<ServeFlags, "config" | "device" | "adapter" | "cacheDir" | "json"> {
  endpoint?: string;
  key?: string;
  system?: string;
  image?: string[];
  set?: string[];
}

const help = `
Without --endpoint, a gateway on port 31313 or a neuron on 13131 is used when it has the model; else one is started,
and ends with the chat. With a message, or with something on standard input, the answer goes to standard output and
the command ends. /help in a chat lists its commands.

Examples:
  neuron chat                                           the model that runs here, or the demo model
  neuron chat Qwen/Qwen3-0.6B --set temperature=0.2     downloads it first, if need be
  neuron chat demo "What is the capital of France?"     one answer
  git diff | neuron chat qwen --system "Review this change." --endpoint http://10.0.0.1:31313
  neuron chat qwen-vl --image cat.jpg "What is this?" --json`;

export function addChat(program: Command, act: Act): void {
  const command = program
    .command("chat")
    .description("talk to a model, here or at an address")
    .argument("[model]", "a name that the endpoint knows, or what --model takes")
    .argument("[message...]", "ask this one thing, and print the answer")
    .option("-e, --endpoint <url>", "a neuron, a gateway, or any OpenAI-compatible server", endpoint)
    .option("--key <key>", "its API key (default: the variable CORTEX_API_KEY)")
    .option("--system <text>", "what the model is told first")
    .option("--image <file>", "a picture for the first message; may be repeated", collect)
    .option("--set <name=value>", "a parameter, as /set in a chat; may be repeated", collect)
    .option("--cache-dir <folder>", "the hub cache, for a neuron that is started")
    .addHelpText("after", help);
  deviceOptions(command, "print the one answer as JSON, with its figures").action(act(runChat));
}

async function runChat(
  world: World,
  model: string | undefined,
  words: string[],
  flags: ChatFlags,
): Promise<number> {
  const message = await oneMessage(words);
  if (message === undefined && flags.json)
    throw new EngineError("bad_request", '--json is for one answer: neuron chat MODEL "message" --json');
  const talk = new Conversation(model ?? "", flags.system);
  for (const pair of flags.set ?? []) {
    const [, name = "", value] = /^([^=]+)=(.+)$/s.exec(pair) ?? [];
    if (value === undefined) throw new EngineError("bad_request", `--set ${pair}: expected name=value`);
    talk.set(name, value);
  }
  for (const file of flags.image ?? []) talk.pictures.push(await readPicture(file));
  const wish = { endpoint: flags.endpoint, key: flags.key ?? world.env["CORTEX_API_KEY"], model };
  const place = await findPlace(wish, (name) => startOwn(world, flags, name));
  talk.model = place.model;
  try {
    return await (message === undefined
      ? talkAtTerminal(place, talk, world)
      : answerOnce(place, talk, message, flags));
  } finally {
    await place.close();
  }
}

/** The words of the command line, with what is piped in behind them; undefined where both are missing. */
async function oneMessage(words: string[]): Promise<string | undefined> {
  if (process.stdin.isTTY) return words.length > 0 ? words.join(" ") : undefined;
  const piped = words.length === 0 || isPiped() ? await readAll(process.stdin) : "";
  const text = [words.join(" "), piped.trim()].filter(Boolean).join("\n\n");
  if (text !== "") return text;
  throw new EngineError("bad_request", 'nothing to say: neuron chat MODEL "message", or pipe something in');
}

/** A pipe or a file; what a service or another program leaves us as standard input may never end. */
function isPiped(): boolean {
  const stdin = fstatSync(0);
  return stdin.isFIFO() || stdin.isFile();
}

async function talkAtTerminal({ client, model }: Place, talk: Conversation, { env }: World): Promise<number> {
  const terminal = openTerminal(env);
  terminal.write(`${colour.bold(model)} on ${baseOf(client)}; /help lists commands, Ctrl-D leaves\n`);
  await converse({ client, talk, terminal });
  return 0;
}

/** Thoughts go to standard error: a script wants the answer. */
async function answerOnce({ client }: Place, talk: Conversation, message: string, { json }: ChatFlags) {
  talk.say(message);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort(new EngineError("cancelled", "stopped")));
  const unread = new EngineError("cancelled", "nobody reads the answer");
  process.stdout.once("error", () => stop.abort(unread));
  const answer = emptyAnswer();
  const to = (stream: NodeJS.WriteStream) => (text: string) => void (json || stream.write(text));
  const show = { content: to(process.stdout), thought: to(process.stderr) };
  try {
    await readAnswer(chat(client, talk.body(), stop.signal), show, answer);
  } catch (error) {
    if (error === unread) return 0; // who went has what they wanted
    throw error;
  }
  if (!json) print("");
  else print(JSON.stringify({ model: talk.model, ...answer }, undefined, 2));
  return 0;
}

/** A daemon within this process, on a port of its own; it says how its load goes, and what its answers point to. */
async function startOwn(
  { env, openEngine }: World,
  flags: ChatFlags,
  reference: string,
): ReturnType<StartOwn> {
  const { config } = settings({ ...flags, port: 0, json: false }, env);
  withQuant(parseReference(reference), config.quant); // a typing error shows before the device is opened
  const log = ownLog();
  const { startDaemon } = await import("../daemon.ts");
  const own = { ...config, host: "127.0.0.1", default_models: [] };
  const daemon = await startDaemon(own, { log, env, openEngine });
  try {
    const { id } = await daemon.models.load({ id: reference });
    log.error = log.failed;
    return { url: daemon.url, model: id, close: () => daemon.stop() };
  } catch (error) {
    await daemon.stop();
    throw error;
  } finally {
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K"); // the bar has done its work
  }
}

/**
 * How the load goes, and warnings. Of errors those of a load are thrown, and told by who catches it; later ones are told
 * here: an answer that failed by a bug of ours points to the log, and there is no other.
 */
function ownLog(): Log & { failed: Log["error"] } {
  const { warn, error: failed, progress } = createLog({ level: "info", json: false });
  const nothing = () => {};
  return { debug: nothing, info: nothing, error: nothing, warn, progress, failed };
}
