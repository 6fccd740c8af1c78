// What both consumers do with a message: decode it, verify it again, recognise a duplicate, print one JSON line.

import { MissingSecret, sha256, verify } from "./verify.mjs";

const REMEMBERED = 100_000; // events; a duplicate that comes after this many others is not noticed
const remembered = new Set();

process.stdout.on("error", () => {}); // the write that failed says so itself, below

// Prints the event's line; false if the event is not to be trusted. `at` says where the message is, `decode` gives its
// CloudEvent and its data as the sender's bytes.
export async function handle(at, decode) {
  const line = { id: null, type: null, source: null, sha256: null, verified: false, duplicate: null };
  let event, body;
  try {
    ({ event, body } = decode());
    const { id, type, source } = event;
    Object.assign(line, { id, type, source, sha256: sha256(body) });
    Object.assign(line, verify(event, body));
  } catch (error) { // whatever is wrong with one message, the next ones are still to be read
    if (error instanceof MissingSecret) throw error;
    line.note = String(error);
  }
  if (line.verified === false) {
    // Not remembered: a forgery must not make the genuine event look like its duplicate.
    console.error(`rejected ${at}: ${line.note}`);
  } else {
    // An id that the signature does not cover may have been put on other bytes: then both together name the event.
    const key = JSON.stringify([line.source, line.id, line.verified, event.idsigned === "true" || line.sha256]);
    line.duplicate = remembered.has(key);
    // Your work on `body` goes here, unless it is a duplicate: before the id is remembered and the message acknowledged.
    remembered.add(key);
    if (remembered.size > REMEMBERED) remembered.delete(remembered.values().next().value); // the oldest
  }
  // Waited for: a line to a slow pipe may still lie in our memory when console.log returns, and would die with us.
  await new Promise((resolve, reject) =>
    process.stdout.write(`${JSON.stringify(line)}\n`, (error) => (error ? reject(error) : resolve())));
  return line.verified !== false;
}
