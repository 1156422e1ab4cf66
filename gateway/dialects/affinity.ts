// By what a client tells its conversations apart: requests with the same key do best on the neuron that still has the
// conversation's beginning in its cache. Never logged and never sent on; only hashed.

import type { IncomingHttpHeaders } from "node:http";

/** In order of preference: Claude Code; Codex; pi; opencode. */
const headerNames = [
  ...["x-claude-code-session-id", "session-id", "session_id", "x-session-id", "x-session-affinity"],
] as const;

const longestKey = 512;

/** Undefined where the client says nothing. */
export function affinityOf(headers: IncomingHttpHeaders, body: unknown): string | undefined {
  for (const name of headerNames) {
    const key = filled(headers[name]);
    if (key !== undefined) return key;
  }
  if (typeof body !== "object" || body === null) return undefined;
  const { prompt_cache_key, metadata } = body as { prompt_cache_key?: unknown; metadata?: unknown };
  return (
    filled(prompt_cache_key) ?? sessionOf((metadata as { user_id?: unknown } | null | undefined)?.user_id)
  );
}

/** Anthropic's metadata.user_id: Claude Code writes JSON with a session_id in it, formerly user_…_session_<uuid>. */
function sessionOf(userId: unknown): string | undefined {
  const text = filled(userId);
  if (text === undefined) return undefined;
  try {
    const session = filled((JSON.parse(text) as { session_id?: unknown } | null)?.session_id);
    if (session !== undefined) return session;
  } catch {
    // Not JSON: the older form, or anybody's own.
  }
  return /_session_([\w-]+)$/.exec(text)?.[1] ?? text;
}

function filled(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value.slice(0, longestKey) : undefined;
}
