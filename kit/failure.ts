// How a failure leaves either daemon over HTTP. Each has one table of its codes, in these terms, and says by the same
// rule whether it is of use to come again.

export interface FailureKind {
  status: number;
  /** OpenAI's. */
  type: "invalid_request_error" | "rate_limit_error" | "server_error";
  /** Seconds after which asking again may help; absent where waiting alone changes nothing. */
  retryAfterS?: number;
}

/** OpenAI's envelope, for a body or for an event within a stream. */
export type FailureBody = {
  error: { message: string; type: string; param: string | null; code: string };
};

export function failureBody({ message, type, param, code }: FailureBody["error"]): FailureBody {
  return { error: { message, type, param, code } };
}

/** Longer than an SDK waits: told to come back later than this, it would come back at once. */
const longestWaitS = 60;

/** OpenAI's and Anthropic's clients come again after every 408, 409, 429 and 5xx unless told that it is in vain. */
export function retryHeaders(retryAfterS: number | undefined): Record<string, string> {
  const inVain = retryAfterS === undefined || retryAfterS > longestWaitS;
  return {
    ...(retryAfterS !== undefined && { "retry-after": String(retryAfterS) }),
    ...(inVain && { "x-should-retry": "false" }),
  };
}
