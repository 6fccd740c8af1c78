// The npm kits, for the tests: one process for all of them, for as long as its input is open.
//
// Reads one JSON object a line and prints one a line: with `sign`, what sign.mjs makes of it; else the verdict of the
// kit's check on a delivery, { accepted, why }. pypi.py answers the same for the PyPI kits.
import { createInterface } from "node:readline";
import { npm } from "./npm.mjs";
import { sign } from "./sign.mjs";

// What a kit prints goes where it disturbs nobody.
console.log = console.error;

async function verdict(asked) {
  const bytes = Buffer.from(asked.body, "base64");
  try {
    return { accepted: Boolean(await npm[asked.check]({ ...asked, bytes, body: bytes.toString("utf8") })), why: "it said no" };
  } catch (error) {
    return { accepted: false, why: String(error?.stack ?? error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  if (!line.trim()) continue;
  const asked = JSON.parse(line);
  const answer = asked.sign ? await sign({ ...asked, provider: asked.sign }) : await verdict(asked);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
