// Signs deliveries with the vendors' own kits. Where a kit only verifies, the delivery is signed by the documented
// formula and must be accepted by the kit before it is answered.
//
// Of { provider, secret?, url?, body (base64), headers?, timestamp (unix), id? } it makes
//   { headers, body (base64), url, secret?, certificate? }
// `secret` is what a source of that provider is configured with. Key pairs are made here, once a run: `secret` is then
// the public key.
import { execFileSync } from "node:child_process";
import { createHash, createHmac, createPublicKey, generateKeyPairSync, randomUUID, sign as signWith } from "node:crypto";
import { EventEmitter } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "node:querystring";
import { kit } from "./kits.mjs";

const hmac = (hash, key, content, encoding) => createHmac(hash, key).update(content).digest(encoding);

function accepted(verdict, who) {
  if (!verdict) throw new Error(`${who} does not accept what was signed by its vendor's formula`);
}

const made = new Map();
/** One key pair of a kind for the whole run. */
function keyPair(kind, options) {
  if (!made.has(kind)) {
    const { privateKey } = generateKeyPairSync(kind, options);
    made.set(kind, { private: privateKey, public: createPublicKey(privateKey) });
  }
  return made.get(kind);
}

/** A key and its certificate, in place of SNS's: one for the whole run. */
function certificate() {
  if (!made.has("certificate")) {
    const folder = mkdtempSync(join(tmpdir(), "oracles-"));
    try {
      const [key, pem] = ["key.pem", "certificate.pem"].map((name) => join(folder, name));
      const subject = "/CN=sns.amazonaws.com/O=test key of hooksluice";
      const options = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "36500", "-subj", subject];
      execFileSync("openssl", [...options, "-keyout", key, "-out", pem], { stdio: "ignore" });
      made.set("certificate", { private: readFileSync(key, "utf8"), pem: readFileSync(pem, "utf8") });
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  return made.get("certificate");
}

async function standard(module, request) {
  const { Webhook } = await kit(module);
  const webhook = new Webhook(request.secret);
  const headers = {
    "webhook-id": request.id,
    "webhook-timestamp": String(request.timestamp),
    "webhook-signature": webhook.sign(request.id, new Date(request.timestamp * 1000), request.text),
  };
  // Both kits compare with the clock of this machine: only fresh deliveries can be shown to them.
  if (Math.abs(Date.now() / 1000 - request.timestamp) < 200) webhook.verify(request.text, headers);
  return { headers };
}

/** The kit fetches the certificate: it is handed the one given, and nothing goes over the net. */
function serveCertificate(pem) {
  https.get = (_url, answer) => {
    const response = new EventEmitter();
    response.statusCode = 200;
    answer(response);
    response.emit("data", Buffer.from(pem));
    response.emit("end");
    return new EventEmitter();
  };
}

const signers = {
  async github(request) {
    const { sign, verify } = await kit("@octokit/webhooks-methods");
    const signature = await sign(request.secret, request.text);
    accepted(await verify(request.secret, request.text, signature), "@octokit/webhooks-methods");
    return { headers: { "X-Hub-Signature-256": signature } };
  },

  async stripe(request) {
    const module = await kit("stripe");
    const Stripe = module.default ?? module;
    const webhooks = new Stripe("sk_test_of_the_tests").webhooks;
    const header = webhooks.generateTestHeaderString({
      payload: request.text,
      secret: request.secret,
      timestamp: request.timestamp,
    });
    webhooks.signature.verifyHeader(request.text, header, request.secret, 300, undefined, request.timestamp * 1000);
    return { headers: { "Stripe-Signature": header } };
  },

  "standard-webhooks": (request) => standard("standardwebhooks", request),
  svix: (request) => standard("svix", request),

  async slack(request) {
    const { verifySlackRequest } = await kit("@slack/bolt/dist/receivers/verify-request");
    const headers = {
      "x-slack-request-timestamp": String(request.timestamp),
      "x-slack-signature": `v0=${hmac("sha256", request.secret, `v0:${request.timestamp}:${request.text}`, "hex")}`,
    };
    // Throws when it does not accept.
    verifySlackRequest({
      signingSecret: request.secret,
      body: request.text,
      headers: { ...headers, "x-slack-request-timestamp": request.timestamp },
      nowMilliseconds: request.timestamp * 1000,
    });
    return { headers };
  },

  async shopify(request) {
    await kit("@shopify/shopify-api/adapters/node");
    const { shopifyApi, ApiVersion } = await kit("@shopify/shopify-api");
    const shopify = shopifyApi({
      apiSecretKey: request.secret,
      apiKey: "key",
      apiVersion: Object.values(ApiVersion)[0],
      hostName: "hooks.example.com",
      isEmbeddedApp: false,
      logger: { log: () => {} },
    });
    const headers = { "X-Shopify-Hmac-Sha256": hmac("sha256", request.secret, request.bytes, "base64") };
    const rawRequest = { method: "POST", url: "/", headers: lowerCase({ ...request.headers, ...headers }) };
    const verdict = await shopify.webhooks.validate({ rawBody: request.text, rawRequest, rawResponse: {} });
    accepted(verdict.valid, `@shopify/shopify-api (${verdict.reason} ${verdict.missingHeaders ?? ""})`);
    return { headers };
  },

  async "twilio-form"(request) {
    const twilio = await kit("twilio/lib/webhooks/webhooks");
    const parameters = { ...parse(request.text) };
    const signature = twilio.getExpectedTwilioSignature(request.secret, request.url, parameters);
    accepted(twilio.validateRequest(request.secret, signature, request.url, parameters), "twilio");
    return { headers: { "X-Twilio-Signature": signature } };
  },

  async "twilio-json"(request) {
    const twilio = await kit("twilio/lib/webhooks/webhooks");
    const joint = request.url.includes("?") ? "&" : "?";
    const url = `${request.url}${joint}bodySHA256=${twilio.getExpectedBodyHash(request.text)}`;
    const signature = twilio.getExpectedTwilioSignature(request.secret, url, {});
    accepted(twilio.validateRequestWithBody(request.secret, signature, url, request.text), "twilio");
    return { headers: { "X-Twilio-Signature": signature }, url };
  },

  async sendgrid(request) {
    const { EventWebhook } = await kit("@sendgrid/eventwebhook");
    const keys = keyPair("ec", { namedCurve: "prime256v1" });
    const content = Buffer.concat([Buffer.from(String(request.timestamp)), request.bytes]);
    const signature = signWith("sha256", content, keys.private).toString("base64");
    const secret = keys.public.export({ type: "spki", format: "der" }).toString("base64");
    const webhook = new EventWebhook();
    const key = webhook.convertPublicKeyToECDSA(secret);
    accepted(webhook.verifySignature(key, request.text, signature, String(request.timestamp)), "@sendgrid/eventwebhook");
    const headers = {
      "X-Twilio-Email-Event-Webhook-Signature": signature,
      "X-Twilio-Email-Event-Webhook-Timestamp": String(request.timestamp),
    };
    return { headers, secret };
  },

  async discord(request) {
    const { verifyKey } = await kit("discord-interactions");
    const keys = keyPair("ed25519");
    const timestamp = String(request.timestamp);
    const signature = signWith(null, Buffer.concat([Buffer.from(timestamp), request.bytes]), keys.private).toString("hex");
    // The last 32 bytes of an Ed25519 SPKI are the key itself, which is what Discord shows.
    const secret = keys.public.export({ type: "spki", format: "der" }).subarray(-32).toString("hex");
    accepted(await verifyKey(request.bytes, signature, timestamp, secret), "discord-interactions");
    return { headers: { "X-Signature-Ed25519": signature, "X-Signature-Timestamp": timestamp }, secret };
  },

  /** The message is signed anew and keeps its order and its other members. */
  async "aws-sns"(request) {
    const MessageValidator = await kit("sns-validator");
    const message = JSON.parse(request.text);
    const key = certificate();
    const confirmation = message.Type !== "Notification";
    const fields = confirmation
      ? ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
      : ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
    const content = fields.filter((name) => name in message).map((name) => `${name}\n${message[name]}\n`).join("");
    const hash = message.SignatureVersion === "1" ? "sha1" : "sha256";
    message.Signature = signWith(hash, Buffer.from(content), key.private).toString("base64");
    serveCertificate(key.pem);
    await new Promise((resolve, reject) => {
      new MessageValidator().validate({ ...message }, (error) => (error ? reject(error) : resolve()));
    });
    return { headers: {}, body: Buffer.from(JSON.stringify(message, null, 2)).toString("base64"), certificate: key.pem };
  },

  async livekit(request) {
    const { AccessToken } = await kit("livekit-server-sdk");
    const token = new AccessToken("APIacmeKey1", request.secret);
    token.sha256 = createHash("sha256").update(request.bytes).digest("base64");
    return { headers: { Authorization: await token.toJwt() } };
  },

  /** Its kit only verifies, and wants every claim that its page names. */
  async messagebird(request) {
    const sha256 = (content) => createHash("sha256").update(content).digest("hex");
    const claims = {
      iss: "MessageBird",
      nbf: request.timestamp - 1,
      exp: request.timestamp + 60,
      jti: randomUUID(),
      url_hash: sha256(request.url),
      payload_hash: sha256(request.bytes),
    };
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const content = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
    return { headers: { "MessageBird-Signature-JWT": `${content}.${hmac("sha256", request.secret, content, "base64url")}` } };
  },

  /** Its kit only verifies. The data names no time, for its age is not judged. */
  async mercadopago(request) {
    const id = new URL(request.url).searchParams.get("data.id");
    const manifest = `id:${id};request-id:${request.headers["x-request-id"]};ts:${request.timestamp};`;
    return { headers: { "x-signature": `ts=${request.timestamp},v1=${hmac("sha256", request.secret, manifest, "hex")}` } };
  },

  async hygraph(request) {
    const { generateWebhookSignature } = await kit("@hygraph/utils");
    return { headers: { "gcms-signature": generateWebhookSignature({ rawPayload: request.text, secret: request.secret }) } };
  },

  async orb(request) {
    const { Orb } = await kit("orb-billing");
    const timestamp = new Date(request.timestamp * 1000).toISOString().replace("Z", "");
    const { webhooks } = new Orb({ apiKey: "key" });
    const signature = webhooks.signPayload(request.text, { timestamp, secret: request.secret });
    return { headers: { "X-Orb-Timestamp": timestamp, "X-Orb-Signature": signature } };
  },
};
// GitLab's signing token is Standard Webhooks as it stands.
signers.gitlab = signers["standard-webhooks"];

function lowerCase(headers) {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

export async function sign(request) {
  const signer = signers[request.provider];
  if (!signer) throw new Error(`no oracle for ${request.provider}; there are ${Object.keys(signers).join(", ")}`);
  const bytes = Buffer.from(request.body, "base64");
  const signed = await signer({ headers: {}, id: "msg_oracle", ...request, bytes, text: bytes.toString("utf8") });
  return {
    url: request.url,
    body: request.body,
    secret: request.secret,
    ...signed,
    headers: { ...request.headers, ...signed.headers },
  };
}
