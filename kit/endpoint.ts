// The address of a daemon as an option of a command.
import { InvalidArgumentError } from "commander";

/** As people write it, host:port too. Errors: InvalidArgumentError where it is none. */
export function endpoint(text: string): string {
  const url = /^https?:\/\//.test(text) ? text : `http://${text}`;
  if (!URL.canParse(url) || /^\w+:\/\//.test(url.slice("http://".length)))
    throw new InvalidArgumentError("Expected http://host:port.");
  return url.replace(/\/+$/, "");
}
