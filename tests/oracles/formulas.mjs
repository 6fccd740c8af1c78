// Signs deliveries of platforms for which no kit signs or verifies offline: each function is written from the page
// that the provider's definition names, and from nothing else.
import { createHmac, createPublicKey, generateKeyPairSync, sign as signWith } from "node:crypto";

const hmac = (key, content, encoding) => createHmac("sha256", key).update(content).digest(encoding);
const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

export const formulas = {
  zoom: ({ secret, timestamp, text }) => ({
    headers: {
      "x-zm-request-timestamp": String(timestamp),
      "x-zm-signature": `v0=${hmac(secret, `v0:${timestamp}:${text}`, "hex")}`,
    },
  }),

  "whatsapp-cloud": ({ secret, bytes }) => ({
    headers: { "X-Hub-Signature-256": `sha256=${hmac(secret, bytes, "hex")}` },
  }),

  hmac: ({ secret, bytes }) => ({ headers: { "X-Signature": hmac(secret, bytes, "hex") } }),

  bearer: ({ secret }) => ({ headers: { Authorization: `Bearer ${secret}` } }),

  "gitlab-token": ({ secret }) => ({ headers: { "X-Gitlab-Token": secret } }),

  /** The specification's asymmetric signature; the key pair is made here and forgotten. */
  "standard-webhooks-v1a"({ id, timestamp, bytes }) {
    const { privateKey } = generateKeyPairSync("ed25519");
    const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), bytes]);
    const key = createPublicKey(privateKey).export({ type: "spki", format: "der" }).subarray(-32);
    return {
      secret: `whpk_${key.toString("base64")}`,
      headers: {
        "webhook-id": id,
        "webhook-timestamp": String(timestamp),
        "webhook-signature": `v1a,${signWith(null, content, privateKey).toString("base64")}`,
      },
    };
  },

  /** A token as Google's would be, with a key of our own: `keys` is what its key set's URL would answer. */
  "google-pubsub-push"({ timestamp, audience, service_account }) {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const kid = "test-key";
    const head = base64url({ alg: "RS256", kid, typ: "JWT" });
    const claims = base64url({
      aud: audience,
      azp: "108120441177301442560",
      email: service_account,
      email_verified: true,
      exp: timestamp + 3540,
      iat: timestamp - 60,
      iss: "https://accounts.google.com",
      sub: "108120441177301442560",
    });
    const signature = signWith("sha256", Buffer.from(`${head}.${claims}`), privateKey).toString("base64url");
    const { kty, n, e } = createPublicKey(privateKey).export({ format: "jwk" });
    const set = { keys: [{ kty, n, e, kid, alg: "RS256", use: "sig" }] };
    return {
      headers: { Authorization: `Bearer ${head}.${claims}.${signature}` },
      keys: { "https://www.googleapis.com/oauth2/v3/certs": JSON.stringify(set) },
    };
  },
};

export function signByFormula(request) {
  const bytes = Buffer.from(request.body, "base64");
  return { secret: request.secret, ...formulas[request.provider]({ ...request, bytes, text: bytes.toString("utf8") }) };
}
