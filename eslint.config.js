import tseslint from "typescript-eslint";

const pure = [
  "engine/serve/scheduler*.ts",
  "engine/serve/{sequence,pages,prefix,content,memoryPlan}.ts",
  "gateway/dialects/**/*.ts",
  "gateway/fleet/router*.ts",
  "gateway/residency/placement*.ts",
];

export default tseslint.config(
  { ignores: ["dist/", "node_modules/", "test-fixtures/reference/", "gateway/web/dist/"] },
  ...tseslint.configs.strict,
  {
    rules: {
      "max-lines": ["error", { max: 400, skipBlankLines: true }],
      "max-lines-per-function": ["error", { max: 60, skipBlankLines: true, skipComments: true }],
      "no-warning-comments": ["error", { terms: ["todo", "fixme", "xxx"] }],
      eqeqeq: "error",
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "@typescript-eslint/consistent-type-imports": "error",
    },
  },
  {
    files: ["**/*.test.ts"],
    rules: { "max-lines-per-function": "off", "max-lines": "off" },
  },
  {
    files: pure,
    ignores: ["**/*.test.ts"],
    rules: {
      "no-restricted-globals": ["error", "setTimeout", "setInterval", "fetch", "Date", "performance"],
    },
  },
);
