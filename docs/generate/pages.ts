// Which page is made by what.

import { apiPage } from "./api.ts";
import { clientsPage } from "./clients.ts";
import { commandsPage } from "./commands.ts";
import { configPage } from "./config.ts";
import { metricsPage } from "./metrics.ts";
import { modelsPage } from "./models.ts";
import { performancePage } from "./performance.ts";

export const pages: Record<string, () => string> = {
  "reference/api.md": () => marked(apiPage()),
  "reference/commands.md": () => marked(commandsPage()),
  "reference/configuration.md": () => marked(configPage()),
  "reference/metrics.md": () => marked(metricsPage()),
  "reference/models.md": () => marked(modelsPage()),
  "clients.md": () => marked(clientsPage()),
  "performance.md": () => marked(performancePage()),
};

function marked(text: string): string {
  return `<!-- Made by \`npm run docs\` from the code: change it there. -->\n\n${text.trimEnd()}\n`;
}
