// The npm kits' own checks, by the names that suite.toml uses. Each takes a delivery as it arrived, and throws or
// answers something false where the kit refuses it:
//   { secret, url, method, headers (names in lower case), body (text), bytes, settings, key_id? }
// Only what a kit's own documentation tells its users to write stands here.
import { createHash, createPublicKey, createSecretKey, generateKeyPairSync } from "node:crypto";
import { EventEmitter } from "node:events";
import https from "node:https";
import { parse as parseForm } from "node:querystring";
import { kit } from "./kits.mjs";

/** The kit would fetch the platform's keys: it is handed the one of the test, under the name that the token has for it. */
const google = (read) => async ({ headers, settings, keys }) => {
  const oauth = await client("google-auth-library", "OAuth2Client");
  const token = headers.authorization.replace("Bearer ", "");
  const { kid } = JSON.parse(Buffer.from(token.split(".")[0], "base64url"));
  const [key] = JSON.parse(Object.values(keys)[0]).keys;
  const pem = createPublicKey({ key, format: "jwk" }).export({ type: "spki", format: "pem" });
  return read(oauth, token, { [kid]: pem }, settings);
};

const base64 = (text) => Buffer.from(text).toString("base64");
const basic = (secret) => secret.split(/:(.*)/s).slice(0, 2);
/** One of a package's exports, whether it hides it behind `default` or not. */
const from = async (name, member) => {
  const module = await kit(name);
  return module[member] ?? module.default?.[member] ?? module.default ?? module;
};
/** A client made of any API key: none of these asks the net for anything. */
const client = async (name, member, ...options) => new (await from(name, member))(...options);

/** What the kits of one generator share: `webhooks.unwrap(body, { headers, key })`, or with the arguments in a row. */
const unwrapped = (name, member, settings, path = (kit) => kit.webhooks) => async (delivery) => {
  const { body, headers, secret } = delivery;
  const made = await client(name, member, settings);
  return path(made).unwrap(body, { headers, key: secret, secret });
};
const unwrappedInARow = (name, member, settings) => async ({ body, headers, secret }) =>
  (await client(name, member, settings)).webhooks.unwrap(body, headers, secret);

const standard = (name) => async ({ body, headers, secret }) => {
  const { Webhook } = await kit(name);
  new Webhook(secret).verify(body, headers);
  return true;
};

export const npm = {
  github: async ({ body, headers, secret }) =>
    (await from("@octokit/webhooks-methods", "verify"))(secret, body, headers["x-hub-signature-256"]),

  stripe: async ({ body, headers, secret }) =>
    (await client("stripe", "Stripe", "sk_test")).webhooks.constructEvent(body, headers["stripe-signature"], secret),

  "standard-webhooks": standard("standardwebhooks"),
  svix: standard("svix"),

  async slack({ body, headers, secret }) {
    const { verifySlackRequest } = await kit("@slack/bolt/dist/receivers/verify-request");
    const timestamp = Number(headers["x-slack-request-timestamp"]);
    verifySlackRequest({ signingSecret: secret, body, headers: { ...headers, "x-slack-request-timestamp": timestamp } });
    return true;
  },

  async shopify({ body, headers, secret }) {
    await kit("@shopify/shopify-api/adapters/node");
    const { shopifyApi, ApiVersion } = await kit("@shopify/shopify-api");
    const shopify = shopifyApi({
      apiSecretKey: secret,
      apiKey: "key",
      apiVersion: Object.values(ApiVersion)[0],
      hostName: "hooks.example.com",
      isEmbeddedApp: false,
      logger: { log: () => {} },
    });
    const rawRequest = { method: "POST", url: "/", headers };
    return (await shopify.webhooks.validate({ rawBody: body, rawRequest, rawResponse: {} })).valid;
  },

  async twilio({ body, headers, secret, url }) {
    const { validateRequest, validateRequestWithBody } = await kit("twilio/lib/webhooks/webhooks");
    const signature = headers["x-twilio-signature"];
    if (headers["content-type"].includes("json")) return validateRequestWithBody(secret, signature, url, body);
    return validateRequest(secret, signature, url, { ...parseForm(body) });
  },

  async sendgrid({ body, headers, secret }) {
    const { EventWebhook, EventWebhookHeader } = await kit("@sendgrid/eventwebhook");
    const webhook = new EventWebhook();
    const [signature, timestamp] = [EventWebhookHeader.SIGNATURE(), EventWebhookHeader.TIMESTAMP()];
    const key = webhook.convertPublicKeyToECDSA(secret);
    return webhook.verifySignature(key, body, headers[signature.toLowerCase()], headers[timestamp.toLowerCase()]);
  },

  discord: async ({ bytes, headers, secret }) =>
    (await from("discord-interactions", "verifyKey"))(
      bytes,
      headers["x-signature-ed25519"],
      headers["x-signature-timestamp"],
      secret,
    ),

  /** The kit fetches the certificate: it is handed the one given, and nothing goes over the net. */
  async "aws-sns"({ body, keys }) {
    const MessageValidator = await kit("sns-validator");
    const message = JSON.parse(body);
    const fetching = https.get;
    https.get = (url, answer) => {
      const response = new EventEmitter();
      response.statusCode = 200;
      answer(response);
      response.emit("data", Buffer.from(keys[url]));
      response.emit("end");
      return new EventEmitter();
    };
    try {
      return await new Promise((resolve, reject) => {
        new MessageValidator().validate(message, (error) => (error ? reject(error) : resolve(true)));
      });
    } finally {
      https.get = fetching;
    }
  },

  /** The kit wants a private key of one's own before it does anything, and never uses it here. */
  async alipay({ body, secret, settings }) {
    const privateKey = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs1", format: "pem" });
    const alipayPublicKey = createPublicKey(secret).export({ type: "spki", format: "der" }).toString("base64");
    const alipay = await client("alipay-sdk", "AlipaySdk", { appId: settings.app_ids[0], privateKey, alipayPublicKey });
    return alipay.checkNotifySignV2({ ...parseForm(body) });
  },

  "anthropic-managed-agents": unwrapped("@anthropic-ai/sdk", "Anthropic", { apiKey: "key" }, (kit) => kit.beta.webhooks),

  /** The page has the kit take the base64 of the client secret's text. */
  bigcommerce: ({ body, headers, secret }) => standard("standardwebhooks")({ body, headers, secret: base64(secret) }),

  async box({ body, headers, secret }) {
    const { WebhooksManager } = await kit("box-node-sdk/lib/managers/webhooks");
    return WebhooksManager.validateMessage(body, headers, secret);
  },

  async cashfree({ body, headers, secret }) {
    const { Cashfree, CFEnvironment } = await kit("cashfree-pg");
    const cashfree = new Cashfree(CFEnvironment.SANDBOX, "id", secret);
    return cashfree.PGVerifyWebhookSignature(headers["x-webhook-signature"], body, headers["x-webhook-timestamp"]);
  },

  async chargebee({ headers, secret }) {
    const [user, password] = basic(secret);
    const { basicAuthValidator } = await kit("chargebee");
    await basicAuthValidator((u, p) => u === user && p === password)(headers);
    return true;
  },

  async clerk({ body, headers, secret, url }) {
    const { verifyWebhook } = await kit("@clerk/backend/webhooks");
    return verifyWebhook(new Request(url, { method: "POST", headers, body }), { signingSecret: secret });
  },

  async cloudinary({ body, headers, secret, settings }) {
    const cloudinary = (await kit("cloudinary")).v2;
    cloudinary.config({ api_secret: secret, signature_algorithm: settings.algorithm ?? "sha1" });
    const [signature, timestamp] = [headers["x-cld-signature"], headers["x-cld-timestamp"]];
    return cloudinary.utils.verifyNotificationSignature(body, timestamp, signature);
  },

  "coinbase-commerce": async ({ body, headers, secret }) =>
    (await from("coinbase-commerce-node", "Webhook")).verifyEventBody(body, headers["x-cc-webhook-signature"], secret),

  async contentful({ body, headers, secret, url, method }) {
    const { verifyRequest } = await kit("@contentful/node-apps-toolkit");
    return verifyRequest(secret, { method, path: new URL(url).pathname, headers, body });
  },

  /** `verifyHook` is the same check, which asks first whether the kit was set to receive hooks itself. */
  async crisp({ body, headers, secret }) {
    const crisp = await client("crisp-api", "Crisp");
    return crisp.verifyWidget(secret, JSON.parse(body), headers["x-crisp-request-timestamp"], headers["x-crisp-signature"]);
  },

  "dodo-payments": unwrapped("dodopayments", "DodoPayments", { bearerToken: "token" }),

  easypost: async ({ bytes, headers, secret }) =>
    (await client("@easypost/api", "default", "key")).Utils.validateWebhook(bytes, headers, secret),

  fathom: async ({ body, headers, secret }) => (await from("fathom-typescript", "Fathom")).verifyWebhook(secret, headers, body),

  async finch({ body, headers, secret }) {
    const finch = await client("@tryfinch/finch-api", "Finch", { clientId: "id", clientSecret: "secret" });
    finch.webhooks.verifySignature(body, headers, secret);
    return true;
  },

  gocardless: async ({ body, headers, secret }) =>
    (await from("gocardless-nodejs/webhooks", "parse"))(body, secret, headers["webhook-signature"]),

  "google-chat": google((oauth, token, certificates, { audience }) =>
    oauth.verifySignedJwtWithCertsAsync(token, certificates, audience, ["chat@system.gserviceaccount.com"]),
  ),

  "google-pubsub-push": google(async (oauth, idToken, certificates, { audience, service_account }) => {
    oauth.getFederatedSignonCertsAsync = async () => ({ certs: certificates });
    const claims = (await oauth.verifyIdToken({ idToken, audience })).getPayload();
    return claims.email === service_account && claims.email_verified;
  }),

  highlevel: async ({ bytes, headers, secret }) =>
    (await client("@gohighlevel/api-client", "HighLevel", { privateIntegrationToken: "token" })).webhooks.verifyEd25519Signature(
      bytes,
      headers["x-ghl-signature"],
      secret,
    ),

  hookdeck: async ({ body, headers, secret }) =>
    (await (await from("@hookdeck/sdk/webhooks/helpers", "verifyWebhookSignature"))({ headers, rawBody: body, signingSecret: secret }))
      .isValidSignature,

  hygraph: async ({ body, headers, secret }) =>
    (await from("@hygraph/utils", "verifyWebhookSignature"))({ rawPayload: body, signature: headers["gcms-signature"], secret }),

  imagekit: unwrapped("@imagekit/nodejs", "ImageKit", { privateKey: "key" }),

  async "kontent-ai"({ body, headers, secret }) {
    const { signatureHelper } = await kit("@kontent-ai/webhook-helper");
    return signatureHelper.isValidSignatureFromString(body, secret, headers["x-kontent-ai-signature"]);
  },

  line: async ({ bytes, headers, secret }) =>
    (await from("@line/bot-sdk", "validateSignature"))(bytes, secret, headers["x-line-signature"]),

  async linear({ bytes, headers, secret, body }) {
    const { LinearWebhookClient } = await kit("@linear/sdk/webhooks");
    return new LinearWebhookClient(secret).verify(bytes, headers["linear-signature"], JSON.parse(body).webhookTimestamp);
  },

  lithic: unwrappedInARow("lithic", "Lithic", { apiKey: "key" }),

  liveblocks: async ({ body, headers, secret }) =>
    (await client("@liveblocks/node", "WebhookHandler", secret)).verifyRequest({ headers, rawBody: body }),

  livekit: async ({ body, headers, secret }) =>
    (await client("livekit-server-sdk", "WebhookReceiver", "APIacmeKey1", secret)).receive(body, headers.authorization),

  async mailersend({ body, headers, secret }) {
    const { MailerSendUtils } = await kit("mailersend/lib/services/mailersend.utils.js");
    return MailerSendUtils.verifyWebHook(body, headers.signature, secret);
  },

  mailtrap: async ({ body, headers, secret }) => (await from("mailtrap", "verifyWebhookSignature"))(body, headers["mailtrap-signature"], secret),

  async mercadopago({ headers, secret, url }) {
    const { WebhookSignatureValidator } = await kit("mercadopago/dist/utils/webhook");
    const dataId = new URL(url).searchParams.get("data.id");
    WebhookSignatureValidator.validate({ xSignature: headers["x-signature"], xRequestId: headers["x-request-id"], dataId, secret });
    return true;
  },

  async "messagebird-bird"({ bytes, headers, secret, url }) {
    const { verify } = await kit("messagebird/lib/webhook-signature-jwt");
    return verify(url, bytes, headers["messagebird-signature-jwt"], createSecretKey(Buffer.from(secret)));
  },

  async mollie({ body, headers, secret }) {
    const { SignatureValidator } = await kit("mollie-api-typescript/utils/webhooks/signature_validator.js");
    return SignatureValidator.validate(body, secret, headers["x-mollie-signature"]);
  },

  "modern-treasury": async ({ body, headers, secret }) =>
    (await client("modern-treasury", "ModernTreasury", { apiKey: "key", organizationID: "id" })).webhooks.validateSignature(body, headers, {
      key: secret,
    }),

  /** The kit asks its core for the secret, and for nothing else. */
  async "moralis-streams"({ body, headers, secret }) {
    const streams = await client("@moralisweb3/streams", "Streams", { config: { get: () => secret } });
    return streams.verifySignature({ body: JSON.parse(body), signature: headers["x-signature"] });
  },

  async mux({ body, headers, secret }) {
    const mux = await client("@mux/mux-node", "Mux", { tokenId: "id", tokenSecret: "secret" });
    await mux.webhooks.verifySignature(body, headers, secret);
    return true;
  },

  notion: async ({ body, headers, secret }) =>
    (await from("@notionhq/client", "verifyWebhookSignature"))({
      body,
      signature: headers["x-notion-signature"],
      verificationToken: secret,
    }),

  onfido: async ({ body, headers, secret }) =>
    (await client("@onfido/api", "WebhookEventVerifier", secret)).readPayload(body, headers["x-sha2-signature"]),

  openai: unwrappedInARow("openai", "OpenAI", { apiKey: "key" }),

  opennode: async ({ body, secret }) =>
    (await client("opennode", "OpenNodeClient", secret, "dev")).verifySignature({ ...parseForm(body) }),

  async orb({ body, headers, secret }) {
    (await client("orb-billing", "Orb", { apiKey: "key" })).webhooks.verifySignature(body, headers, secret);
    return true;
  },

  "paddle-billing": async ({ body, headers, secret }) =>
    (await client("@paddle/paddle-node-sdk", "Paddle", "key")).webhooks.isSignatureValid(body, secret, headers["paddle-signature"]),

  async phonepe({ headers, secret }) {
    const { CommonUtils } = await kit("pg-sdk-node/dist/common/CommonUtils.js");
    return CommonUtils.isCallbackValid(...basic(secret), headers.authorization);
  },

  async plivo({ body, headers, secret, url, method }) {
    const [signature, nonce] = [headers["x-plivo-signature-v3"], headers["x-plivo-signature-v3-nonce"]];
    return (await kit("plivo")).validateV3Signature(method, url, nonce, secret, signature, { ...parseForm(body) });
  },

  async "pusher-channels"({ body, headers, secret }) {
    const pusher = await client("pusher", "Pusher", { appId: "1", key: headers["x-pusher-key"], secret, cluster: "eu" });
    return pusher.webhook({ headers, rawBody: body }).isValid();
  },

  razorpay: async ({ body, headers, secret }) =>
    (await kit("razorpay")).validateWebhookSignature(body, headers["x-razorpay-signature"], secret),

  replicate: async ({ body, headers, secret }) =>
    (await from("replicate", "validateWebhook"))({
      id: headers["webhook-id"],
      timestamp: headers["webhook-timestamp"],
      signature: headers["webhook-signature"],
      body,
      secret,
    }),

  async resend({ body, headers, secret }) {
    const resend = await client("resend", "Resend", "re_key");
    const signature = { id: headers["svix-id"], timestamp: headers["svix-timestamp"], signature: headers["svix-signature"] };
    return resend.webhooks.verify({ payload: body, headers: signature, webhookSecret: secret });
  },

  "retell-ai": async ({ body, headers, secret }) =>
    (await from("retell-sdk", "Retell")).verify(body, secret, headers["x-retell-signature"]),

  sanity: async ({ body, headers, secret }) =>
    (await from("@sanity/webhook", "isValidSignature"))(body, headers["sanity-webhook-signature"], secret),

  seam: async ({ body, headers, secret }) => (await client("@seamapi/webhook", "SeamWebhook", secret)).verify(body, headers),

  async shopware({ body, headers, secret }) {
    const { WebCryptoHmacSigner } = await kit("@shopware-ag/app-server-sdk/dist/esm/signer.js");
    return new WebCryptoHmacSigner().verify(headers["shopware-shop-signature"], body, secret);
  },

  async signalwire({ body, headers, secret, url }) {
    const { RestClient } = await kit("@signalwire/compatibility-api");
    return RestClient.validateRequest(secret, headers["x-signalwire-signature"], url, { ...parseForm(body) });
  },

  smartcar: async ({ body, headers, secret }) => (await kit("smartcar")).verifyPayload(secret, headers["sc-signature"], JSON.parse(body)),

  async solidgate({ body, headers, secret, settings }) {
    const { Api } = await kit("@solidgate/node-sdk");
    return new Api(settings.public_key, secret)._generateSignature(body) === headers.signature;
  },

  "stream-getstream": async ({ bytes, headers, secret }) =>
    (await client("stream-chat", "StreamChat", "key", secret)).verifyWebhook(bytes, headers["x-signature"]),

  /** As the page has it: without what stands before `whsec_`. */
  "supabase-auth-hooks": ({ body, headers, secret }) =>
    standard("standardwebhooks")({ body, headers, secret: secret.replace("v1,whsec_", "") }),

  async telnyx({ body, headers, secret }) {
    const { TelnyxWebhook } = await kit("telnyx/lib/webhooks");
    await new TelnyxWebhook(secret).verify(body, headers);
    return true;
  },

  terra: async ({ body, headers, secret }) =>
    (await from("terra-api", "verifyTerraWebhookSignature"))(body, headers["terra-signature"], secret),

  async todoist({ bytes, headers, secret }) {
    const { verifyWebhookSignature } = await kit("@doist/todoist-sdk/dist/esm/utils/webhook-parser.js");
    return verifyWebhookSignature({ rawBody: bytes, signature: headers["x-todoist-hmac-sha256"], clientSecret: secret });
  },

  async truelayer({ body, headers, url, method, keys }) {
    const { verify } = await kit("truelayer-signing");
    const [jwks] = Object.values(keys);
    verify({ jwks, signature: headers["tl-signature"], method, path: new URL(url).pathname, headers, body });
    return true;
  },

  async turnkey({ bytes, headers, secret }) {
    const { verifyTurnkeyWebhookSignature } = await kit("@turnkey/crypto");
    const verificationKeys = [{ keyId: headers["x-turnkey-signature-key-id"], publicKey: secret }];
    return verifyTurnkeyWebhookSignature({ headers, body: bytes, verificationKeys, maxTimestampAgeMs: 300_000 }).ok;
  },

  async unit({ body, headers, secret }) {
    const unit = await client("@unit-finance/unit-node-sdk", "Unit", "token", "https://api.s.unit.sh");
    return unit.webhooks.verify(headers["x-unit-signature"], secret, JSON.parse(body));
  },

  async "upstash-qstash"({ body, headers, secret, settings }) {
    const receiver = await client("@upstash/qstash", "Receiver", { currentSigningKey: secret, nextSigningKey: "next" });
    return receiver.verify({ signature: headers["upstash-signature"], body, url: settings.url });
  },

  /** The kit checks the token, its page tells users to compare `payload_hash`. */
  async vonage({ body, headers, secret }) {
    const { verifySignature } = await kit("@vonage/jwt");
    const token = headers.authorization.replace("Bearer ", "");
    const claims = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
    return verifySignature(token, secret) && claims.payload_hash === createHash("sha256").update(body).digest("hex");
  },

  webflow: async ({ body, headers, secret }) =>
    (await client("webflow-api", "WebflowClient", { accessToken: "token" })).webhooks.verifySignature({ headers, body, secret }),

  /** Whop's own template gives the kit the base64 of the secret's text. */
  whop: async ({ body, headers, secret }) =>
    (await client("@whop/sdk", "Whop", { apiKey: "key" })).webhooks.unwrap(body, { headers, key: base64(secret) }),

  async workos({ body, headers, secret }) {
    const workos = await client("@workos-inc/node", "WorkOS", "sk_key");
    return workos.webhooks.constructEvent({ payload: JSON.parse(body), sigHeader: headers["workos-signature"], secret });
  },

  async zoom({ body, headers, secret }) {
    const { AwsLambdaReceiver } = await kit("@zoom/rivet/users");
    const receiver = new AwsLambdaReceiver({ webhooksSecretToken: secret });
    const printing = console.debug;
    console.debug = () => {};
    try {
      return (await receiver.start()({ body, headers, isBase64Encoded: false }, {})).statusCode === 200;
    } finally {
      console.debug = printing;
    }
  },
};
