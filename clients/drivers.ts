// How each client is driven without a person: what to start for each case, what it may not do (updates, telemetry,
// questions), and how many requests a case takes it. What it is told of the gateway is what `cortex env` prints.

import { join } from "node:path";
import type { Dialect } from "../gateway/commands/client-settings.ts";
import type { CaseName } from "./cases.ts";
import { citySchema } from "./cases.ts";

export interface Asked {
  name: CaseName;
  prompt: string;
  model: string;
  /** A PNG in the folder where the client runs. */
  picture: string;
  work: string;
}

export interface Driver {
  /** Of client-settings.ts. */
  client: string;
  dialect: Dialect;
  binary: string;
  args(asked: Asked): string[];
  env: Record<string, string>;
  /** Merged into JSON files in the home folder: `cortex env` leaves people's updates and telemetry to them. */
  quiet?: Record<string, Record<string, unknown>>;
  /** Requests for an answer that each case takes; a text says why the client has no such thing. */
  requests: Record<CaseName, number | string>;
  /** What it still tries to reach, without a switch against it; nothing lets it through. */
  knocks?: RegExp;
  /** It does not ask for the model's thoughts, or does not send them back. */
  forgets?: true;
}

const noSchema = "has no way to ask for it";

const claude: Driver = {
  ...{ client: "claude", dialect: "messages", binary: "claude" },
  args: ({ name, prompt }) => [
    ...["-p", prompt, "--allowedTools", "Bash(echo:*)", "Read"],
    ...(name === "structured" ? ["--json-schema", JSON.stringify(citySchema)] : []),
  ],
  env: { DISABLE_AUTOUPDATER: "1", DISABLE_TELEMETRY: "1", DISABLE_ERROR_REPORTING: "1" },
  requests: { text: 1, tool: 2, parallel: 2, thinking: 2, image: 2, structured: 1 },
};

const codex: Driver = {
  ...{ client: "codex", dialect: "responses", binary: "codex" },
  args: ({ name, prompt, picture, work }) => [
    ...["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"],
    ...["plugins", "remote_plugin", "apps"].flatMap((feature) => ["--disable", feature]),
    ...["-c", "analytics.enabled=false", "-c", "check_for_update_on_startup=false"],
    ...(name === "structured" ? ["--output-schema", join(work, "schema.json")] : []),
    ...(name === "image" ? ["-i", picture, "--", prompt] : [prompt]),
  ],
  env: {},
  requests: { text: 1, tool: 2, parallel: 2, thinking: 2, image: 1, structured: 1 },
};

function opencode(dialect: Dialect): Driver {
  return {
    ...{ client: "opencode", dialect, binary: "opencode" },
    args: ({ name, prompt, picture, model }) => [
      ...["run", "--pure", "--auto", "--model", `cortex/${model}`, prompt],
      ...(name === "image" ? ["-f", picture] : []),
    ],
    env: {
      ...{
        OPENCODE_DISABLE_AUTOUPDATE: "1",
        OPENCODE_DISABLE_MODELS_FETCH: "1",
        OPENCODE_DISABLE_SHARE: "1",
      },
      ...{ OPENCODE_DISABLE_DEFAULT_PLUGINS: "1", OPENCODE_DISABLE_LSP_DOWNLOAD: "1" },
    },
    // It looks for its own plugin's newest version beside its settings.
    knocks: /^registry\.npmjs\.org:/,
    // One of them finds a title.
    requests: { text: 2, tool: 3, parallel: 3, thinking: 3, image: 2, structured: noSchema },
    ...(dialect === "messages" && { forgets: true }),
  };
}

function pi(dialect: Dialect): Driver {
  return {
    ...{ client: "pi", dialect, binary: "pi" },
    args: ({ name, prompt, picture, model }) => [
      ...["-p", "--no-session", "--provider", "cortex", "--model", model],
      ...(name === "thinking" ? ["--thinking", "medium"] : []),
      ...(name === "image" ? [`@${picture}`] : []),
      prompt,
    ],
    env: { PI_OFFLINE: "1", PI_TELEMETRY: "0" },
    requests: { text: 1, tool: 2, parallel: 2, thinking: 2, image: 1, structured: noSchema },
  };
}

const qwen: Driver = {
  ...{ client: "qwen", dialect: "chat", binary: "qwen" },
  args: ({ name, prompt }) => [
    ...["--approval-mode", "yolo", "--chat-recording=false"],
    ...(name === "structured" ? ["--json-schema", JSON.stringify(citySchema)] : []),
    ...["-p", prompt],
  ],
  env: {},
  quiet: {
    "~/.qwen/settings.json": {
      ...{ privacy: { usageStatisticsEnabled: false }, general: { enableAutoUpdate: false } },
      ...{ telemetry: { enabled: false }, memory: { enableManagedAutoMemory: false } },
    },
  },
  requests: { text: 1, tool: 2, parallel: 2, thinking: 2, image: 2, structured: 1 },
};

const continueDev: Driver = {
  ...{ client: "continue", dialect: "chat", binary: "cn" },
  args: ({ prompt }) => ["--auto", "--config", "../.continue/config.yaml", "-p", prompt],
  env: { CONTINUE_TELEMETRY_ENABLED: "0", CONTINUE_CLI_ENABLE_TELEMETRY: "0" },
  requests: {
    ...{ text: 1, tool: 2, parallel: 2, thinking: 2, structured: noSchema },
    image: "reads a picture's bytes as text where there is no terminal",
  },
  forgets: true,
};

const cline: Driver = {
  ...{ client: "cline", dialect: "chat", binary: "cline" },
  args: ({ prompt, model }) => ["-P", "openai-compatible", "-m", model, "--auto-approve", "true", prompt],
  env: {},
  quiet: {
    "~/.cline/data/settings/global-settings.json": { telemetryOptOut: true, autoUpdateEnabled: false },
  },
  // It asks for its flags.
  knocks: /^data\.cline\.bot:/,
  requests: { text: 1, tool: 2, parallel: 2, thinking: 2, image: 2, structured: noSchema },
};

export const drivers: Readonly<Record<string, Driver>> = {
  "Claude Code": claude,
  Codex: codex,
  "opencode by chat": opencode("chat"),
  "opencode by responses": opencode("responses"),
  "opencode by messages": opencode("messages"),
  "pi by chat": pi("chat"),
  "pi by responses": pi("responses"),
  "pi by messages": pi("messages"),
  "Qwen Code": qwen,
  Continue: continueDev,
  Cline: cline,
};
