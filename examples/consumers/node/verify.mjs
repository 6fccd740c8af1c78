// Verifies a platform's signature again, from what a hooksluice event carries: the body, and the method, URL and
// headers that the signature covers. Add a platform by adding a function; its secret is looked up by the source's name.

import { createHash, createHmac, timingSafeEqual } from "node:crypto";

export class MissingSecret extends Error {}

export const sha256 = (body) => createHash("sha256").update(body).digest("hex");

function mac(secret, encoding, ...content) {
  const hmac = createHmac("sha256", secret);
  for (const part of content) hmac.update(part);
  return hmac.digest(encoding);
}

function same(presented, expected) {
  const [a, b] = [Buffer.from(presented), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}

// Each takes a secret and what the platform sent: { method, url, header(name), body }. (None here signs the method; some do.)
const github = (secret, { header, body }) =>
  same(header("x-hub-signature-256"), `sha256=${mac(secret, "hex", body)}`);

const shopify = (secret, { header, body }) => same(header("x-shopify-hmac-sha256"), mac(secret, "base64", body));

const slack = (secret, { header, body }) =>
  same(header("x-slack-signature"), `v0=${mac(secret, "hex", `v0:${header("x-slack-request-timestamp")}:`, body)}`);

// `t=…,v1=…`, with one v1 for each secret while they roll: any may match.
function stripe(secret, { header, body }) {
  const fields = header("stripe-signature").split(",").map((field) => field.trim().split(/=(.*)/s));
  const moment = fields.find(([name]) => name === "t")[1];
  const expected = mac(secret, "hex", `${moment}.`, body);
  return fields.some(([name, value]) => name === "v1" && same(value, expected));
}

// A list of `v1,…`, separated by spaces: any may match.
function standardWebhooks(secret, { header, body }) {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const before = `${header("webhook-id")}.${header("webhook-timestamp")}.`;
  const expected = `v1,${mac(key, "base64", before, body)}`;
  return header("webhook-signature").split(" ").some((signature) => same(signature, expected));
}

// The URL, then a form's fields in order. A JSON body is covered by its digest in the URL instead.
function twilio(secret, { header, url, body }) {
  const digest = /[?&]bodySHA256=([0-9a-f]{64})(&|$)/.exec(url);
  if (digest && !same(digest[1], sha256(body))) return false;
  const fields = digest ? [] : [...new URLSearchParams(body.toString())].map((field) => JSON.stringify(field));
  const inOrder = [...new Set(fields)].map((field) => JSON.parse(field)).sort(compareFields);
  const covered = url + inOrder.flat().join("");
  return same(header("x-twilio-signature"), createHmac("sha1", secret).update(covered).digest("base64"));
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const compareFields = ([name, value], [otherName, otherValue]) => compare(name, otherName) || compare(value, otherValue);

const VERIFIERS = new Map(Object.entries({
  github,
  gitlab: standardWebhooks, // its signing token; its plain token is never published and is told apart below
  shopify,
  slack,
  "standard-webhooks": standardWebhooks,
  stripe,
  twilio,
}));

// `/sources/acme-github` → HOOKSLUICE_SECRET_ACME_GITHUB, and …_PREVIOUS while secrets roll.
function secretsOf(source) {
  const variable = `HOOKSLUICE_SECRET_${source.split("/").pop().toUpperCase().replace(/[^A-Z0-9]/g, "_")}`;
  const found = [process.env[variable], process.env[`${variable}_PREVIOUS`]].filter(Boolean);
  if (!found.length) throw new MissingSecret(`set ${variable} to verify events of ${source}`);
  return found;
}

// { verified: true }, { verified: false, note }, or { verified: null, note } where this event alone cannot tell:
// null is no proof of anything.
export function verify(event, body) {
  const unknown = (note) => ({ verified: null, note });
  if (sha256(body) !== event.bodysha256) return { verified: false, note: "the data is not what bodysha256 says" };
  if (event.batchindex !== undefined) return unknown("an element of a batch: the signature covers the whole delivery");
  if (event.deliverysha256 !== event.bodysha256) return unknown("published in another form than it was signed in");
  if (!event.verification.startsWith("hmac-"))
    return unknown(`verification is ${event.verification}: nothing that can be checked again here`);
  const verifier = VERIFIERS.get(event.provider);
  if (!verifier) return unknown(`no verifier here for provider ${event.provider}`);
  // The timestamp's age is not looked at: the gateway did on arrival, and an event may rightly wait for days.
  const headers = new Map(Object.entries(JSON.parse(event.httpheaders)));
  const header = (name) => {
    if (!headers.has(name)) throw new Error(`the header ${name} is missing`);
    return headers.get(name);
  };
  const request = { method: event.httpmethod, url: event.httpurl, header, body };
  const matched = secretsOf(event.source).some((secret) => verifier(secret, request));
  return matched ? { verified: true } : { verified: false, note: "the signature does not match" };
}
