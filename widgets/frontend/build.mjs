// Builds every panel into ../static: one self-contained ES module and one style sheet each.
//
//   node build.mjs                 all panels; a missing source is an error
//   node build.mjs attention ...   only the named ones, while others are being written
//
// anywidget copies the module's text into the state of every widget on the page, and a notebook must work with the
// network off. So the build itself refuses a bundle that is too large or that mentions another host.

import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const PANELS = [
  "attention",
  "attention-depth",
  "attention-difference",
  "attention-lines",
  "attention-measures",
  "attention-neuron",
  "attention-pictures",
  "attention-text",
  "attribution",
  "sampling",
  "token",
  "workbench",
];
// What a saved page is made of beside its panels.
const PAGE = "host";
// What BertViz's scripts stand on; it has no looks of its own.
const CLASSIC = "classic";
// 100 KB, and room for the words of a second language: Han takes three bytes a character.
const LIMIT_BYTES = 116 * 1024;
// XML namespaces are names, not addresses: the browser never fetches them.
const NAMESPACE_HOST = "www.w3.org";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "..", "static");

function sources(name) {
  const suffixes = name === CLASSIC ? ["ts"] : name === PAGE ? ["ts", "css"] : ["tsx", "css"];
  return suffixes.map((suffix) => join(here, "src", `${name}.${suffix}`));
}

/** Every host that an absolute or protocol-relative address in `text` would reach. */
function hosts(text) {
  const addresses = text.matchAll(
    /(?:https?|wss?):\/\/([^/"'`\s)?#]+)|@import\s+(?:url\()?["']?\/\/([^/"')\s]+)/gi,
  );
  return [...addresses].map((match) => match[1] ?? match[2]).filter((host) => host !== NAMESPACE_HOST);
}

function problemsOf(file) {
  const text = readFileSync(file, "utf8");
  const bytes = Buffer.byteLength(text);
  const problems = hosts(text).map((host) => `${file} mentions the host ${host}; bundles reach no network.`);
  if (bytes > LIMIT_BYTES) {
    problems.push(
      `${file} has ${bytes} bytes; at most ${LIMIT_BYTES} are allowed, as every widget carries a copy.`,
    );
  }
  return { problems, bytes };
}

async function main(asked) {
  const known = [...PANELS, PAGE, CLASSIC];
  const unknown = asked.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new Error(`No panel is called ${unknown.join(", ")}; there are: ${known.join(", ")}.`);
  const panels = asked.length > 0 ? asked : known;
  const missing = panels.flatMap(sources).filter((file) => !existsSync(file));
  if (missing.length > 0) throw new Error(`Source files are missing: ${missing.join(", ")}.`);

  mkdirSync(target, { recursive: true });
  await build({
    entryPoints: panels.flatMap(sources),
    outdir: target,
    bundle: true,
    format: "esm",
    target: ["chrome109", "firefox115", "safari16.4"],
    charset: "utf8",
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    minify: true,
    logLevel: "warning",
  });

  const problems = [];
  for (const panel of panels) {
    for (const suffix of panel === CLASSIC ? ["js"] : ["js", "css"]) {
      const file = join(target, `${panel}.${suffix}`);
      const found = problemsOf(file);
      problems.push(...found.problems);
      console.log(`${panel}.${suffix}`.padEnd(18), `${(found.bytes / 1024).toFixed(1)} KB`.padStart(9));
    }
  }
  if (problems.length > 0) throw new Error(problems.join("\n"));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
