// An answer on its way from neuron to client: no faster than the client reads, no longer silent than allowed.

import type { ServerResponse } from "node:http";
import { Body } from "./body.ts";

/** Takes bytes of the neuron, gives those that the client may have now. */
export interface Reading {
  push(chunk: Buffer): Buffer | string;
  end(): Buffer | string;
}

export interface Idle {
  ms: number;
  onIdle: () => void;
}

/**
 * Forwards `body` until it ends or the client is gone, and resolves with the last bytes, which are still to be sent.
 * Rejects when the neuron's connection breaks or is aborted. When neither side moved for `idle.ms`, a client that does
 * not read is cut off, else `idle.onIdle` is called, once.
 */
export async function relay(
  body: AsyncIterable<Buffer>,
  client: ServerResponse,
  reading: Reading,
  idle: Idle,
): Promise<Buffer | string> {
  const watchdog = setTimeout(() => {
    // Bytes wait for the client: it is the client that sleeps. Else the neuron does.
    if (client.writableNeedDrain) client.destroy();
    else idle.onIdle();
  }, idle.ms);
  try {
    if (body instanceof Body) return await new Promise(taking(body, client, reading, watchdog));
    return await looping(body, client, reading, watchdog);
  } finally {
    clearTimeout(watchdog);
  }
}

type Executor = (resolve: (rest: Buffer | string) => void, reject: (error: unknown) => void) => void;

/** The bytes are pushed: nothing is made for each of them. */
function taking(body: Body, client: ServerResponse, reading: Reading, watchdog: NodeJS.Timeout): Executor {
  return (resolve, reject) => {
    const breakOff = (error: unknown) => {
      body.abort();
      reject(error);
    };
    const leave = () => {
      body.abort();
      resolve("");
    };
    if (client.destroyed) return leave();
    client.once("close", leave);
    client.on("drain", () => {
      watchdog.refresh();
      body.resume();
    });
    body.take({
      data(chunk) {
        watchdog.refresh();
        try {
          const bytes = reading.push(chunk);
          return bytes.length === 0 || client.write(bytes);
        } catch (error) {
          breakOff(error);
          return true;
        }
      },
      end() {
        try {
          resolve(reading.end());
        } catch (error) {
          reject(error);
        }
      },
      fail: reject,
    });
  };
}

async function looping(
  body: AsyncIterable<Buffer>,
  client: ServerResponse,
  reading: Reading,
  watchdog: NodeJS.Timeout,
): Promise<Buffer | string> {
  for await (const chunk of body) {
    watchdog.refresh();
    const bytes = reading.push(chunk);
    if (bytes.length > 0 && !client.write(bytes)) await drained(client);
    if (client.destroyed) return ""; // leaving the loop closes the neuron's connection
    watchdog.refresh();
  }
  return reading.end();
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
