// What the page tells the fleet to do. The gateway's refusals are shown as it words them.

import { ask } from "../ask.ts";
import { errorOf } from "../talk/answer.ts";
import { notify } from "../notice.ts";
import { question } from "../view/dialog.tsx";
import { read } from "./poll.ts";

export function load(model: string): void {
  void tell("/api/models/load", { model, wait: false }, `${model} is being loaded.`);
}

export function pin(model: string, neuron: string, pinned: boolean): void {
  const done = pinned ? `${model} stays on ${neuron}.` : `${model} may make room for others on ${neuron}.`;
  void tell("/api/models/pin", { model, neuron, pinned }, done);
}

/** Asks first; a model at work may be unloaded by force then. */
export function unload(model: string, neuron: string, busy: boolean): void {
  const order = { model, neuron, ...(busy && { force: true }) };
  question.value = {
    ...{ kind: "confirm", title: `Unload ${model}?`, action: busy ? "Unload by force" : "Unload" },
    text: busy
      ? `It is at work on ${neuron}: its requests, or its load, will be broken off.`
      : `It leaves ${neuron}. A request for it loads it again, where that is allowed.`,
    onYes: () => void tell("/api/models/unload", order, `${model} has left ${neuron}.`),
  };
}

export function restart(neuron: string): void {
  question.value = {
    ...{ kind: "confirm", title: `Start the device of ${neuron} anew?`, action: "Start anew" },
    text: "It waits until its models have nothing to do, and loads them again. Requests wait meanwhile.",
    onYes: () => void tell(`/api/neurons/${encodeURIComponent(neuron)}/restart`, {}, `${neuron} is back.`),
  };
}

async function tell(path: string, body: object, done: string): Promise<void> {
  const headers = { "content-type": "application/json" };
  try {
    const response = await ask(path, { method: "POST", headers, body: JSON.stringify(body) });
    if (response.ok) notify(done);
    else {
      const { error } = (await response.json()) as { error?: unknown };
      notify(errorOf(error).message);
    }
  } catch {
    notify("The gateway cannot be reached.");
  }
  await read();
}
