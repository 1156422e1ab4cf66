// Thoughts in a form which clients keep unread and send back with the history: Anthropic's `signature`, OpenAI's
// `encrypted_content`. It holds the text itself, so that nothing need be stored here: a client to which the text is not
// shown returns it all the same. It is no secret and no proof; a client may say anything about the model's past anyway.

const prefix = "cortex1.";

export function seal(text: string): string {
  return prefix + Buffer.from(text).toString("base64url");
}

/** The text, or undefined for what was sealed elsewhere. */
export function unseal(sealed: string | null | undefined): string | undefined {
  if (!sealed?.startsWith(prefix)) return undefined;
  const text = Buffer.from(sealed.slice(prefix.length), "base64url").toString();
  return text === "" ? undefined : text;
}
