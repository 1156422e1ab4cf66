// Which dialect a request is in, where the routes do not say: errors before any route, and lists that both have.

import type { IncomingHttpHeaders } from "node:http";

/** Anthropic's clients send their version with everything. */
export function speaksAnthropic(url: string, headers: IncomingHttpHeaders): boolean {
  return headers["anthropic-version"] !== undefined || /^\/v1\/messages(?![^/?])/.test(url);
}
