// Finds the vendors' kits, in whatever module form each of them comes.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const folder = process.env.HOOKSLUICE_TEST_NODE_MODULES;
if (!folder || !existsSync(folder)) {
  console.error("HOOKSLUICE_TEST_NODE_MODULES must name a node_modules folder with the kits of tests/kits (scripts/kits install)");
  process.exit(2);
}
const require = createRequire(join(resolve(folder), "oracles.cjs"));

/** A kit as its own documentation would import it. */
export async function kit(name) {
  try {
    return require(name);
  } catch (error) {
    if (error.code !== "ERR_PACKAGE_PATH_NOT_EXPORTED" && error.code !== "ERR_REQUIRE_ESM") throw error;
  }
  // A package of ES modules only: what it exports for `import` in Node.
  const directory = join(resolve(folder), name);
  const description = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  let entry = description.exports?.["."] ?? description.exports ?? description.module ?? description.main;
  while (typeof entry === "object") entry = entry.node ?? entry.import ?? entry.default;
  return import(pathToFileURL(join(directory, entry)));
}
