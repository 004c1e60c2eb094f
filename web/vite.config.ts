/// <reference types="vitest/config" />
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Assets carry a hash of their content in their names, and the server lets browsers keep them for good.
// `npm run dev` talks to a relay-server on its default port.
export default defineConfig({
  base: "./",
  plugins: [react()],
  build: {
    target: "es2022",
    // These know light-dark(), which the tokens are made of.
    cssTarget: ["chrome123", "firefox121", "safari17.5"],
    outDir: "../relay_server/gateway/static",
    emptyOutDir: true,
    // A data: URL would need an exception in the Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        entryFileNames: "assets/app-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8080" } },
  test: { environment: "happy-dom", include: ["test/**/*.test.{ts,tsx}"] },
});
