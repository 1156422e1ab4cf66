// Small things that outlive the page: the settings that a new conversation begins with.

import type { Settings } from "./conversation.ts";

const key = "cortex.settings";

export function lastSettings(): Settings {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(key) ?? "{}");
    return typeof value === "object" && value !== null ? (value as Settings) : {};
  } catch {
    return {}; // no storage, or not ours: begin afresh
  }
}

export function rememberSettings(settings: Settings): void {
  try {
    localStorage.setItem(key, JSON.stringify(settings));
  } catch {
    // a browser without storage forgets
  }
}
