import { defineConfig } from "vitest/config";

// `npm run test:clients`: not part of `npm test`, for it installs a gigabyte of other people's programs.
export default defineConfig({
  test: {
    name: "clients",
    include: ["clients/**/*.client.ts"],
    pool: "forks",
    maxWorkers: 2,
    reporters: ["verbose"],
    testTimeout: 180_000,
    hookTimeout: 900_000,
  },
});
