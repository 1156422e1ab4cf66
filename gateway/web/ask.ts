// Every request of the page to its gateway, with the user's API key where the gateway wants one. The key stays in this
// browser.

import { signal } from "@preact/signals";
import { question } from "./view/dialog.tsx";

/** True after a request that was refused for want of a valid key. */
export const locked = signal(false);

const place = "cortex.key";
/** The window comes up by itself once; who closes it has a button. */
let offered = false;

export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const key = keptKey();
  const headers = {
    ...(init.headers as Record<string, string> | undefined),
    ...(key !== undefined && { authorization: `Bearer ${key}` }),
  };
  const response = await fetch(path, { ...init, headers });
  locked.value = response.status === 401;
  if (locked.value && !offered) askForKey();
  return response;
}

export function askForKey(): void {
  if (question.value !== undefined) return;
  offered = true;
  question.value = { kind: "key", onKey: keepKey };
}

function keepKey(key: string): void {
  offered = false; // should it be a wrong one
  try {
    localStorage.setItem(place, key);
  } catch {
    once = key; // a browser without storage forgets it with the page
  }
}

let once: string | undefined;

function keptKey(): string | undefined {
  try {
    return localStorage.getItem(place) ?? once;
  } catch {
    return once;
  }
}
