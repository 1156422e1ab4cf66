// The chat's loop: a line in, an answer out, and the slash commands. Where lines come from and where text goes is given.

import { readFile, writeFile } from "node:fs/promises";
import { EngineError } from "../../engine/errors.ts";
import { AnswerError, chat } from "../../kit/client.ts";
import type { Client } from "../../kit/client.ts";
import { colour } from "../../kit/colour.ts";
import { emptyAnswer, figures, readAnswer } from "./answer.ts";
import type { Show } from "./answer.ts";
import { settingNames } from "./conversation.ts";
import type { Conversation, Message } from "./conversation.ts";
import { readPicture } from "./picture.ts";
import { modelsOf } from "./place.ts";

export interface Terminal {
  /** The next line; undefined: there will be no more. */
  ask(prompt: string): Promise<string | undefined>;
  write(text: string): void;
  /** A signal that aborts when the user wants this answer to stop, until `done`. */
  interruptible(): { signal: AbortSignal; done: () => void };
}

interface Session {
  client: Client;
  talk: Conversation;
  terminal: Terminal;
}

/** Talks until the user leaves. */
export async function converse(session: Session): Promise<void> {
  const { terminal } = session;
  for (;;) {
    const text = await nextMessage(terminal);
    if (text === undefined) return;
    try {
      if ((await act(session, text)) === "leave") return;
    } catch (error) {
      if (!(error instanceof AnswerError || error instanceof EngineError)) throw error;
      terminal.write(`${colour.red("error:")} ${error.message}\n`);
    }
  }
}

/** A line, or what stands between lines of three quotes. */
async function nextMessage(terminal: Terminal): Promise<string | undefined> {
  const fence = '"""';
  let text = await terminal.ask(">>> ");
  if (!text?.startsWith(fence)) return text;
  text = text.slice(fence.length);
  while (!text.endsWith(fence)) {
    const line = await terminal.ask("... ");
    if (line === undefined) return undefined;
    text += `${text === "" ? "" : "\n"}${line}`;
  }
  return text.slice(0, -fence.length).trim();
}

async function act(session: Session, text: string): Promise<"leave" | undefined> {
  if (text.trim() === "") return undefined;
  if (!text.startsWith("/")) {
    session.talk.say(text);
    await answer(session);
    return undefined;
  }
  const [, name = "", rest = ""] = /^\/(\S*)\s*([^]*)$/.exec(text)!;
  if (["bye", "exit", "quit"].includes(name)) return "leave";
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw new EngineError("bad_request", `there is no /${name}; /help lists what there is`);
  await command.run(session, rest.trim());
  return undefined;
}

interface SlashCommand {
  takes: string;
  does: string;
  run(session: Session, rest: string): Promise<void> | void;
}

const commands: Record<string, SlashCommand> = {
  help: { takes: "", does: "this list", run: ({ terminal }) => terminal.write(helpText()) },
  image: {
    takes: "FILE",
    does: "attach a picture to the next message",
    async run({ talk, terminal }, file) {
      if (file === "") throw new EngineError("bad_request", "which file? /image FILE");
      talk.pictures.push(await readPicture(file));
      const names = talk.pictures.map((picture) => picture.name).join(", ");
      note(terminal, `with the next message: ${names}`);
    },
  },
  system: {
    takes: "[TEXT]",
    does: "what the model is told first; without text: nothing",
    run({ talk, terminal }, text) {
      talk.system = text === "" ? undefined : text;
      note(terminal, text === "" ? "no system prompt" : "the system prompt is set");
    },
  },
  set: {
    takes: "[NAME [VALUE]]",
    does: `a parameter: ${settingNames.join(", ")}`,
    run: set,
  },
  model: {
    takes: "[NAME]",
    does: "talk to another model; without a name: which there are",
    run: chooseModel,
  },
  retry: { takes: "", does: "another answer to the last message", run: retry },
  clear: {
    takes: "",
    does: "forget the conversation",
    run({ talk, terminal }) {
      talk.clear();
      note(terminal, "forgotten");
    },
  },
  save: { takes: "FILE", does: "write the conversation to a file", run: save },
  load: { takes: "FILE", does: "go on with a conversation from a file", run: load },
  bye: { takes: "", does: "leave; Ctrl-D does too", run: () => {} },
};

function helpText(): string {
  const rows = Object.entries(commands).map(
    ([name, { takes, does }]) => [`/${name} ${takes}`, does] as const,
  );
  const width = Math.max(...rows.map(([usage]) => usage.length));
  const lines = rows.map(([usage, does]) => `  ${usage.padEnd(width)}  ${does}`);
  return [...lines, '  """ begins and ends a message of several lines; Ctrl-C stops an answer', ""].join(
    "\n",
  );
}

async function answer({ client, talk, terminal }: Session): Promise<void> {
  const { signal, done } = terminal.interruptible();
  const soFar = emptyAnswer();
  try {
    await readAnswer(chat(client, talk.body(), signal), shownOn(terminal), soFar);
  } catch (error) {
    if (soFar.content !== "" || signal.aborted) terminal.write("\n");
    // A question without an answer would be in the way of the next.
    if (soFar.content === "" && !signal.aborted) talk.messages.pop();
    if (!signal.aborted) throw error;
    note(terminal, "stopped");
  } finally {
    done();
    if (soFar.content !== "") talk.messages.push({ role: "assistant", content: soFar.content });
  }
  if (!signal.aborted) terminal.write(`\n${colour.dim(figures(soFar))}\n`);
}

/** Thoughts are dim, and an empty line parts them from the answer. */
function shownOn(terminal: Terminal): Show {
  let isThinking = false;
  return {
    thought(text) {
      isThinking = true;
      terminal.write(colour.dim(text));
    },
    content(text) {
      terminal.write(isThinking ? `\n\n${text}` : text);
      isThinking = false;
    },
  };
}

async function retry(session: Session): Promise<void> {
  if (!session.talk.rewind()) throw new EngineError("bad_request", "nothing has been asked yet");
  await answer(session);
}

function set({ talk, terminal }: Session, rest: string): void {
  const [name = "", ...words] = rest.replace(/^([^\s=]+)=/, "$1 ").split(/\s+/); // as --set has it, too
  if (name !== "") talk.set(name, words.join(" "));
  const now = [...talk.settings].map(([key, value]) => `${key} ${value === true ? "on" : String(value)}`);
  note(terminal, now.length > 0 ? now.join(", ") : "all as the model has it");
}

async function chooseModel({ client, talk, terminal }: Session, name: string): Promise<void> {
  const ids = (await modelsOf(client)).map(({ id }) => id);
  if (name === "") return note(terminal, `${talk.model}; there are ${ids.join(", ")}`);
  if (!ids.includes(name))
    throw new EngineError("model_not_found", `there is no ${name}; there are ${ids.join(", ")}`);
  talk.model = name;
  note(terminal, `talking to ${name}`);
}

async function save({ talk, terminal }: Session, file: string): Promise<void> {
  if (file === "") throw new EngineError("bad_request", "to which file? /save FILE");
  const { model, system, messages } = talk;
  const text = JSON.stringify({ model, system, messages }, undefined, 2);
  await writeFile(file, `${text}\n`).catch((error: NodeJS.ErrnoException) => {
    throw new EngineError("bad_request", `cannot write ${file}: ${error.code}`);
  });
  note(terminal, `saved to ${file}`);
}

async function load({ talk, terminal }: Session, file: string): Promise<void> {
  let read: { system?: string; messages?: Message[] };
  try {
    read = JSON.parse(await readFile(file, "utf8")) as typeof read;
  } catch (error) {
    throw new EngineError("bad_request", `cannot read ${file}: ${(error as Error).message}`);
  }
  const messages = read.messages;
  if (!Array.isArray(messages) || !messages.every((m) => typeof m?.role === "string" && "content" in m))
    throw new EngineError("bad_request", `${file} is no conversation: it has no list of messages`);
  talk.system = read.system;
  talk.messages = messages;
  note(terminal, `${messages.length} messages`);
}

function note(terminal: Terminal, text: string): void {
  terminal.write(`${colour.dim(text)}\n`);
}
