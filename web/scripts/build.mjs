// Builds the dashboard into the package of the server, or with --check says how the committed build differs from its source.
// Also keeps the promise about its size: what a browser downloads before it shows anything.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const JS_GZIP_BYTES_MAX = 250_000;
const root = fileURLToPath(new URL("..", import.meta.url));
const committed = join(root, "..", "relay_server", "gateway", "static");
const check = process.argv.includes("--check");

function files(folder) {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true });
  return new Map(
    found
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [relative(folder, path), readFileSync(path)]),
  );
}

function differences(fresh, old) {
  const names = [...new Set([...fresh.keys(), ...old.keys()])].sort();
  return names.flatMap((name) => {
    if (!old.has(name)) return [`missing:   ${name}`];
    if (!fresh.has(name)) return [`left over: ${name}`];
    return fresh.get(name).equals(old.get(name)) ? [] : [`differs:   ${name}`];
  });
}

function gzipBytes(built) {
  let sum = 0;
  for (const [name, content] of built)
    if (name.endsWith(".js")) sum += gzipSync(content, { level: 9 }).length;
  return sum;
}

const outDir = check ? mkdtempSync(join(tmpdir(), "relay-dashboard-")) : committed;
let problems = [];
try {
  await build({ root, logLevel: "warn", build: { outDir, emptyOutDir: true } });
  const fresh = files(outDir);
  const size = gzipBytes(fresh);
  if (size > JS_GZIP_BYTES_MAX) problems.push(`JavaScript: ${size} bytes gzipped, over ${JS_GZIP_BYTES_MAX}`);
  if (check) {
    const differing = differences(fresh, files(committed));
    if (differing.length > 0)
      problems = [
        ...problems,
        ...differing,
        "relay_server/gateway/static is not what web/ builds: run `make web`, commit the result",
      ];
  }
  console.log(`dashboard: ${size} bytes of JavaScript gzipped, of ${JS_GZIP_BYTES_MAX} allowed`);
} finally {
  if (check) rmSync(outDir, { recursive: true, force: true });
}
for (const line of problems) console.error(line);
process.exit(problems.length > 0 ? 1 : 0);
