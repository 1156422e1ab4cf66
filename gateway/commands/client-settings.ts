// What to write where so that a client talks to this gateway: `cortex env` prints it, docs/clients.md shows it, and the
// suite in clients/ runs the clients with it. Pure.

export const dialects = ["chat", "responses", "messages"] as const;
export type Dialect = (typeof dialects)[number];

export interface Target {
  /** http://host:port */
  url: string;
  model: string;
  key: string;
  /** Tokens of prompt and answer together. */
  context: number;
  /** Tokens of an answer at most. */
  output: number;
  vision: boolean;
  reasoning: boolean;
  /** For clients that speak several. */
  dialect: Dialect;
}

export interface Settings {
  /** To be exported in the shell that starts the client. */
  env: Record<string, string>;
  /** To be made, or merged into what is there; `~` is the home folder. */
  files: { path: string; text: string }[];
  /** How to start it, or what to do once. */
  commands: string[];
}

export interface Client {
  title: string;
  /** The first is the default; with one, there is nothing to choose. */
  dialects: readonly [Dialect, ...Dialect[]];
  settings(target: Target): Settings;
}

export const clients: Readonly<Record<string, Client>> = {
  claude: { title: "Claude Code", dialects: ["messages"], settings: claude },
  codex: { title: "Codex", dialects: ["responses"], settings: codex },
  opencode: { title: "opencode", dialects, settings: opencode },
  qwen: { title: "Qwen Code", dialects: ["chat"], settings: qwen },
  continue: { title: "Continue", dialects: ["chat"], settings: continueDev },
  cline: { title: "Cline", dialects: ["chat"], settings: cline },
  pi: { title: "pi", dialects, settings: pi },
  zed: { title: "Zed", dialects: ["chat"], settings: zed },
  openai: { title: "OpenAI SDKs", dialects: ["chat", "responses"], settings: openAiSdk },
  anthropic: { title: "Anthropic SDKs", dialects: ["messages"], settings: anthropicSdk },
};

function claude({ url, model, key, context, output }: Target): Settings {
  const env = {
    ANTHROPIC_BASE_URL: url,
    ANTHROPIC_AUTH_TOKEN: key,
    ANTHROPIC_MODEL: model,
    ANTHROPIC_DEFAULT_HAIKU_MODEL: model, // for its small errands
    // It takes models that it does not know for ones of a million tokens.
    CLAUDE_CODE_MAX_CONTEXT_TOKENS: String(context),
    CLAUDE_CODE_MAX_OUTPUT_TOKENS: String(output),
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    CLAUDE_CODE_ATTRIBUTION_HEADER: "0",
  };
  return { env, files: [], commands: ["claude"] };
}

function codex({ url, model, key, context }: Target): Settings {
  const text = [
    `model = ${quoted(model)}`,
    `model_provider = "cortex"`,
    `model_context_window = ${context}`,
    "",
    "[model_providers.cortex]",
    `name = "cortex"`,
    `base_url = ${quoted(`${url}/v1`)}`,
    `env_key = "CORTEX_API_KEY"`,
    `wire_api = "responses"`,
  ];
  return { env: { CORTEX_API_KEY: key }, files: [file("~/.codex/config.toml", text)], commands: ["codex"] };
}

const providerPackages: Readonly<Record<Dialect, string>> = {
  chat: "@ai-sdk/openai-compatible",
  responses: "@ai-sdk/openai",
  messages: "@ai-sdk/anthropic",
};

function opencode(target: Target): Settings {
  const { url, model, key, context, output, vision, reasoning, dialect } = target;
  const entry = {
    ...{ tool_call: true, reasoning, attachment: vision, limit: { context, output } },
    modalities: { input: vision ? ["text", "image"] : ["text"], output: ["text"] },
  };
  const config = {
    $schema: "https://opencode.ai/config.json",
    provider: {
      cortex: {
        npm: providerPackages[dialect],
        name: "cortex",
        options: { baseURL: `${url}/v1`, apiKey: key },
        models: { [model]: entry },
      },
    },
    model: `cortex/${model}`,
    small_model: `cortex/${model}`,
  };
  return { env: {}, files: [jsonFile("~/.config/opencode/opencode.json", config)], commands: ["opencode"] };
}

function qwen({ url, model, key, context, output, vision }: Target): Settings {
  const generationConfig = {
    contextWindowSize: context,
    modalities: { image: vision },
    samplingParams: { max_tokens: output },
  };
  const entry = { id: model, name: model, baseUrl: `${url}/v1`, envKey: "CORTEX_API_KEY", generationConfig };
  const settings = {
    modelProviders: { openai: [entry] },
    security: { auth: { selectedType: "openai" } },
    model: { name: model },
  };
  return {
    env: { CORTEX_API_KEY: key },
    files: [jsonFile("~/.qwen/settings.json", settings)],
    commands: ["qwen"],
  };
}

function continueDev({ url, model, key, context, output, vision }: Target): Settings {
  const text = [
    "name: cortex",
    "version: 1.0.0",
    "schema: v1",
    "models:",
    "  - name: cortex",
    "    provider: openai",
    `    model: ${quoted(model)}`,
    `    apiBase: ${quoted(`${url}/v1`)}`,
    `    apiKey: ${quoted(key)}`,
    `    capabilities: [tool_use${vision ? ", image_input" : ""}]`,
    "    roles: [chat, edit, apply]",
    "    defaultCompletionOptions:",
    `      contextLength: ${context}`,
    `      maxTokens: ${output}`,
  ];
  return { env: {}, files: [file("~/.continue/config.yaml", text)], commands: ["cn"] };
}

function cline({ url, model, key }: Target): Settings {
  const commands = [
    `cline auth --provider openai --apikey ${shellQuoted(key)} --modelid ${shellQuoted(model)} --baseurl ${url}/v1`,
    "cline",
  ];
  return { env: {}, files: [], commands };
}

const piApis: Readonly<Record<Dialect, string>> = {
  chat: "openai-completions",
  responses: "openai-responses",
  messages: "anthropic-messages",
};

function pi({ url, model, key, context, output, vision, reasoning, dialect }: Target): Settings {
  const entry = {
    ...{ id: model, reasoning, input: vision ? ["text", "image"] : ["text"] },
    ...{ contextWindow: context, maxTokens: output },
  };
  const baseUrl = dialect === "messages" ? url : `${url}/v1`;
  const providers = { cortex: { baseUrl, api: piApis[dialect], apiKey: key, models: [entry] } };
  const command = `pi --provider cortex --model ${shellQuoted(model)}`;
  return { env: {}, files: [jsonFile("~/.pi/agent/models.json", { providers })], commands: [command] };
}

function zed({ url, model, key, context, output, vision }: Target): Settings {
  const entry = {
    ...{ name: model, display_name: model, max_tokens: context, max_output_tokens: output },
    capabilities: { tools: true, images: vision, parallel_tool_calls: true, prompt_cache_key: true },
  };
  const settings = {
    language_models: { openai_compatible: { cortex: { api_url: `${url}/v1`, available_models: [entry] } } },
    agent: { default_model: { provider: "cortex", model } },
  };
  const files = [jsonFile("~/.config/zed/settings.json", settings)];
  return { env: { CORTEX_API_KEY: key }, files, commands: ["zed"] };
}

function openAiSdk({ url, key }: Target): Settings {
  return { env: { OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key }, files: [], commands: [] };
}

function anthropicSdk({ url, key }: Target): Settings {
  return { env: { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: key }, files: [], commands: [] };
}

/** As a shell and a person read it: what to export, what to put where, what to start. */
export function settingsText({ env, files, commands }: Settings): string {
  const exports = Object.entries(env).map(([name, value]) => `export ${name}=${shellQuoted(value)}`);
  const blocks = [
    exports.join("\n"),
    ...files.map(({ path, text }) => `# ${path}\n${text.trimEnd()}`),
    commands.join("\n"),
  ];
  return blocks.filter((block) => block !== "").join("\n\n");
}

function file(path: string, lines: readonly string[]) {
  return { path, text: `${lines.join("\n")}\n` };
}

function jsonFile(path: string, value: object) {
  return { path, text: `${JSON.stringify(value, null, 2)}\n` };
}

/** As JSON, TOML and YAML all read it. */
function quoted(text: string): string {
  return JSON.stringify(text);
}

function shellQuoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
