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

/** A kit as its own documentation would import it, or one of its files. */
export async function kit(name) {
  try {
    return require(name);
  } catch (error) {
    if (error.code !== "ERR_PACKAGE_PATH_NOT_EXPORTED" && error.code !== "ERR_REQUIRE_ESM") throw error;
  }
  const [, directory, inside] = name.match(/^((?:@[^/]+\/)?[^/]+)\/?(.*)$/);
  const at = (path) => pathToFileURL(join(resolve(folder), directory, path));
  const file = at(inside);
  if (/\.[cm]?js$/.test(inside) && existsSync(file)) return import(file);
  // A package of ES modules only: what it exports for `import` in Node.
  const description = JSON.parse(readFileSync(at("package.json"), "utf8"));
  const exported = inside ? `./${inside}` : ".";
  let entry = description.exports?.[exported] ?? description.exports ?? description.module ?? description.main;
  while (typeof entry === "object") entry = entry.node ?? entry.import ?? entry.default;
  return import(at(entry));
}
