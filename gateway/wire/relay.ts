// An answer on its way from neuron to client: no faster than the client reads, no longer silent than allowed.

import type { ServerResponse } from "node:http";

/** Takes bytes of the neuron, gives those that the client may have now. */
export interface Reading {
  push(chunk: Buffer): Buffer | string;
  end(): Buffer | string;
}

/**
 * Forwards `body` until it ends or the client is gone. Throws when the neuron's connection breaks or is aborted.
 * When neither side moved for `idle.ms`, a client that does not read is cut off, else `idle.onIdle` is called, once.
 */
export async function relay(
  body: AsyncIterable<Buffer>,
  client: ServerResponse,
  reading: Reading,
  idle: { ms: number; onIdle: () => void },
): Promise<void> {
  const watchdog = setTimeout(() => {
    // Bytes wait for the client: it is the client that sleeps. Else the neuron does.
    if (client.writableNeedDrain) client.destroy();
    else idle.onIdle();
  }, idle.ms);
  try {
    for await (const chunk of body) {
      watchdog.refresh();
      const bytes = reading.push(chunk);
      if (bytes.length > 0 && !client.write(bytes)) await drained(client);
      if (client.destroyed) return; // leaving the loop closes the neuron's connection
      watchdog.refresh();
    }
    const rest = reading.end();
    if (rest.length > 0) client.write(rest);
  } finally {
    clearTimeout(watchdog);
  }
}

function drained(client: ServerResponse): Promise<void> {
  if (client.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    client.once("drain", done);
    client.once("close", done);
    function done() {
      client.off("drain", done);
      client.off("close", done);
      resolve();
    }
  });
}
