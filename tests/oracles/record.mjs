// Writes schemas/<provider>/samples/<name>.toml: each sample body with the request around it and a signature, made by
// the vendor's kit where there is one (sign.mjs), else by the documented formula (formulas.mjs).
//
//   node tests/oracles/record.mjs            all providers
//   node tests/oracles/record.mjs github     only these
//
// Keys of test deliveries are made here; of key pairs only the public half is kept.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { signByFormula } from "./formulas.mjs";
import { sign } from "./sign.mjs";

const schemas = join(dirname(fileURLToPath(import.meta.url)), "../../schemas");
/** All samples arrived at this moment: after the certificates that are made here begin to be valid. */
const at = "2026-12-01T09:00:00Z";
const timestamp = Date.parse(at) / 1000;
const secret = "a-secret-of-the-samples";
const whsec = "whsec_c2FtcGxlcyBvZiBob29rc2x1aWNlLCBub3RoaW5nIGVsc2U=";
const json = { "Content-Type": "application/json" };
const form = { "Content-Type": "application/x-www-form-urlencoded" };

/** A stable made-up UUID for a name. */
const uuid = (name) => {
  const digits = Buffer.from(name).toString("hex").padEnd(12, "0").slice(-12);
  return `0198b7c0-5a00-4000-8000-${digits}`;
};

/** What is known of a sample: its event, its request, who signs it. `body` is the parsed body, where it is JSON. */
const providers = {
  github: ({ name, body }) => ({
    event: [name, name === "deployment" ? "" : body.ref_type ?? body.deployment_status?.state ?? body.action].filter(Boolean).join("."),
    headers: {
      ...json,
      "User-Agent": "GitHub-Hookshot/044aadd",
      "X-GitHub-Event": name,
      "X-GitHub-Delivery": uuid(name),
      "X-GitHub-Hook-ID": "418",
    },
    kit: "github",
  }),
  gitlab: ({ name, body }) => {
    const attributes = body.object_attributes ?? {};
    const noteable = { Commit: "commit", MergeRequest: "merge_request", Issue: "issue", Snippet: "snippet" };
    const more = { issue: attributes.state, note: noteable[attributes.noteable_type], merge_request: attributes.action, pipeline: attributes.status };
    return {
      event: [body.object_kind, more[body.object_kind]].filter(Boolean).join("."),
      headers: { ...json, "X-Gitlab-Event-UUID": uuid(name), "Idempotency-Key": uuid(`id-${name}`) },
      id: uuid(`id-${name}`),
      // One delivery with the older secret token.
      ...(name === "tag_push" ? { formula: "gitlab-token" } : { kit: "gitlab", secret: whsec }),
    };
  },
  stripe: ({ body }) => ({ event: body.type, headers: json, kit: "stripe", secret: "whsec_of_the_samples" }),
  "standard-webhooks": ({ name, body }) => ({
    event: body.type,
    headers: json,
    id: "msg_0198b7c05a00acmewidgets3",
    ...(name === "asymmetric" ? { formula: "standard-webhooks-v1a" } : { kit: "standard-webhooks", secret: whsec }),
  }),
  slack: ({ name, file }) => ({ event: name, headers: file.endsWith(".form") ? form : json, kit: "slack" }),
  shopify: ({ name, body }) => {
    const [resource, action] = name.split(".");
    return {
      event: `${resource}.${action}`,
      headers: {
        ...json,
        "X-Shopify-Topic": `${resource}/${action}`,
        "X-Shopify-API-Version": name.endsWith("2024-07") ? "2024-07" : "2025-07",
        "X-Shopify-Shop-Domain": "acme-widgets.myshopify.com",
        "X-Shopify-Webhook-Id": uuid(name),
        "X-Shopify-Event-Id": uuid(`event-${body.id}`),
        "X-Shopify-Triggered-At": "2026-12-01T08:59:55.104Z",
      },
      kit: "shopify",
    };
  },
  twilio: ({ name, file, body }) => ({
    event: body.type?.replace(/^com\.twilio\./, "") ?? name,
    headers: file.endsWith(".form") ? form : json,
    url: "https://hooks.acme-widgets.example/in/twilio",
    kit: file.endsWith(".form") ? "twilio-form" : "twilio-json",
  }),
  sendgrid: ({ name }) => ({ event: name, headers: json, kit: "sendgrid" }),
  discord: ({ name }) => ({ event: name, headers: json, kit: "discord" }),
  "aws-sns": ({ body }) => ({
    event: body.Type,
    headers: {
      "Content-Type": "text/plain; charset=UTF-8",
      "x-amz-sns-message-type": body.Type,
      "x-amz-sns-message-id": body.MessageId,
      "x-amz-sns-topic-arn": body.TopicArn,
    },
    settings: { topic_arns: [body.TopicArn] },
    kit: "aws-sns",
    certificate: body.SigningCertURL,
    secret: undefined,
  }),
  "google-pubsub-push": ({ body }) => ({
    event: ["message", body.message.attributes?.eventType].filter(Boolean).join("."),
    headers: json,
    settings: {
      audience: "https://hooks.acme-widgets.example/in/pubsub",
      service_account: "pusher@acme-plant.iam.gserviceaccount.com",
    },
    formula: "google-pubsub-push",
    secret: undefined,
  }),
  "whatsapp-cloud": ({ name }) => ({
    event: name,
    headers: json,
    settings: { verify_token: "a-verify-token-of-the-samples" },
    formula: "whatsapp-cloud",
  }),
  zoom: ({ name }) => ({ event: name, headers: json, formula: "zoom" }),
  "cloudevents-webhook": ({ name, body }) =>
    name === "binary"
      ? {
          event: "example.acme.belt.stopped",
          headers: {
            ...json,
            "ce-specversion": "1.0",
            "ce-id": "9c1e5a7d-1f2b-4c3d-8e4f-5a6b7c8d9e0f",
            "ce-source": "/plant/hall-3",
            "ce-type": "example.acme.belt.stopped",
            "ce-time": "2026-03-04T08:51:05.104Z",
            "ce-subject": "belt-3",
          },
          formula: "bearer",
        }
      : {
          event: body.type ?? body[0].type,
          headers: { "Content-Type": `application/cloudevents${Array.isArray(body) ? "-batch" : ""}+json` },
          formula: "bearer",
        },
  hmac: ({ body }) => ({ event: body.type, headers: json, formula: "hmac" }),
  token: ({ body }) => ({ event: body.type, headers: json, formula: "bearer" }),
};

const text = (value) => (value.includes("\n") ? `'''\n${value}'''` : JSON.stringify(value));
const table = (name, members) => {
  const lines = Object.entries(members).map(([key, value]) => {
    const shown = Array.isArray(value) ? `[${value.map(text).join(", ")}]` : text(value);
    return `${/^[\w-]+$/.test(key) ? key : JSON.stringify(key)} = ${shown}`;
  });
  return lines.length ? `\n[${name}]\n${lines.join("\n")}\n` : "";
};

async function record(provider, file) {
  const folder = join(schemas, provider, "samples");
  const name = file.replace(/\.(json|form)$/, "");
  const path = join(folder, file);
  const bytes = readFileSync(path);
  const body = file.endsWith(".json") ? JSON.parse(bytes) : {};
  const known = { secret, settings: {}, ...providers[provider]({ name, file, body }) };
  const request = {
    provider: known.kit ?? known.formula,
    secret: known.secret,
    url: known.url,
    id: known.id,
    headers: known.headers,
    body: bytes.toString("base64"),
    timestamp,
    ...known.settings,
  };
  const signed = known.kit ? await sign(request) : signByFormula(request);
  if (known.kit && signed.body !== request.body) writeFileSync(path, Buffer.from(signed.body, "base64"));
  const own = Object.fromEntries(Object.entries(signed.headers).filter(([header]) => !(header in known.headers)));
  const served = signed.keys ?? (known.certificate ? { [known.certificate]: signed.certificate } : {});

  let sheet = `event = ${text(known.event)}\nbody = ${text(file)}\n`;
  sheet += table("request.headers", known.headers);
  const about = { at };
  if (signed.secret) about.secret = signed.secret;
  if (signed.url) {
    about.url = signed.url;
    const query = new URL(signed.url).search.slice(1);
    if (query) about.query = query;
  }
  const who = known.kit ? "Signed by the vendor's kit." : "Signed by the documented formula.";
  sheet += table("signed", about).replace("[signed]", `# ${who} Test key, of no use anywhere else.\n[signed]`);
  sheet += table("signed.settings", known.settings);
  sheet += table("signed.headers", own);
  sheet += table("signed.keys", served);
  writeFileSync(join(folder, `${name}.toml`), sheet);
}

const wanted = process.argv.slice(2);
for (const provider of wanted.length ? wanted : Object.keys(providers)) {
  for (const file of readdirSync(join(schemas, provider, "samples"))) {
    if (!file.endsWith(".toml")) await record(provider, file);
  }
  console.log(provider);
}
