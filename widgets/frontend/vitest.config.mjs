import { defineConfig } from "vitest/config";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  test: {
    environment: "happy-dom",
    include: ["tests/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    // For a test that hangs: on a machine that does other things as well, half a second of drawing takes six.
    testTimeout: 60_000,
  },
});
