// The store that the configuration asks for.

import type { ServeOptions } from "./serve.ts";
import { withoutSecrets } from "./store/nats/connect.ts";
import { NatsStore } from "./store/nats/store.ts";
import { MemoryStore, type Store } from "./store/store.ts";
import { responsePrefix } from "./requests/stored-responses.ts";

/** Throws ConfigError when it cannot be reached. */
export async function openStore({ cortex, print }: Pick<ServeOptions, "cortex" | "print">): Promise<Store> {
  const bounds = [{ prefix: responsePrefix, maxBytes: cortex.responses.max_mb * 2 ** 20 }];
  if (cortex.state === "memory") return new MemoryStore({ bounds });
  const where = withoutSecrets(cortex.state);
  const store = await NatsStore.open({
    ...{ url: cortex.state, credentialsFile: cortex.state_credentials, replicas: cortex.state_replicas },
    ...{ fleet: cortex.state_name, bounds },
    onLink: (linked) =>
      print(linked ? `state: ${where} is back` : `state: ${where} cannot be reached; going on without`),
  });
  print(`state: shared through ${where}`);
  return store;
}
