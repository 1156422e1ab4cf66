// A connection to NATS from the text of the `state` setting: nats://[user:password@|token@]host[:port][,host…], or
// tls:// for the same over TLS.

import {
  credsAuthenticator,
  connect,
  type ConnectionOptions,
  type NatsConnection,
} from "@nats-io/transport-node";
import { readFileSync } from "node:fs";
import { ConfigError } from "../../config.ts";

export interface NatsAddress {
  /** host:port of each server. */
  servers: string[];
  tls: boolean;
  user?: string;
  password?: string;
  token?: string;
}

export interface ConnectOptions {
  url: string;
  /** A file with a user's JWT and seed, as `nsc` writes it. */
  credentialsFile?: string | undefined;
  /** As others see it in the server's list of connections. */
  name: string;
  timeoutMs: number;
}

/** Throws ConfigError for what is no such text; the error does not repeat passwords. */
export function natsAddressOf(text: string): NatsAddress {
  const parts = /^(nats|tls):\/\/(?:([^@/]*)@)?([^@/?#]+)\/?$/.exec(text);
  if (!parts)
    throw new ConfigError(`state: expected "memory" or nats://host:port, got ${withoutSecrets(text)}`);
  const [, scheme, secrets, hosts] = parts;
  const servers = hosts!.split(",").map((host) => (/:\d+$/.test(host) ? host : `${host}:4222`));
  return { servers, tls: scheme === "tls", ...credentialsOf(secrets) };
}

function credentialsOf(secrets: string | undefined): Partial<NatsAddress> {
  if (!secrets) return {};
  const cut = secrets.indexOf(":");
  if (cut < 0) return { token: decodeURIComponent(secrets) };
  return {
    user: decodeURIComponent(secrets.slice(0, cut)),
    password: decodeURIComponent(secrets.slice(cut + 1)),
  };
}

/** The text as it may be shown. */
export function withoutSecrets(text: string): string {
  return text.replace(/\/\/[^@/]*@/, "//…@");
}

/** Once connected, it reconnects for ever. Throws ConfigError when no server answers in time. */
export async function openNats({
  url,
  credentialsFile,
  name,
  timeoutMs,
}: ConnectOptions): Promise<NatsConnection> {
  const { servers, tls, user, password, token } = natsAddressOf(url);
  const options: ConnectionOptions = {
    ...{ servers, name, timeout: timeoutMs, maxReconnectAttempts: -1, reconnectTimeWait: 500 },
    ...(tls && { tls: {} }),
    ...(user !== undefined && { user, pass: password ?? "" }),
    ...(token !== undefined && { token }),
    ...(credentialsFile !== undefined && { authenticator: credsAuthenticator(credentials(credentialsFile)) }),
  };
  try {
    return await connect(options);
  } catch (error) {
    throw new ConfigError(`state: ${withoutSecrets(url)} cannot be used: ${(error as Error).message}`);
  }
}

function credentials(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (error) {
    const { code = "error" } = error as NodeJS.ErrnoException;
    throw new ConfigError(`state_credentials: ${file} cannot be read (${code})`);
  }
}
