#!/usr/bin/env node
// Reads hooksluice's events from a RabbitMQ queue, verifies the platform's signature again, and recognises duplicates.
// One JSON line an event goes to standard output. Exit code: 0, 1 if an event was rejected, 2 for usage or a missing
// secret, 3 when the connection was lost. The secrets come from the environment: see ../README.md.

import { once } from "node:events";
import { parseArgs } from "node:util";
import amqp from "amqplib";
import { CloudEvent } from "cloudevents";
import { handle } from "./handle.mjs";
import { MissingSecret } from "./verify.mjs";

const USAGE = `usage: rabbitmq-consumer.mjs --queue NAME [--url amqp://…] [--exchange NAME [--routing-key PATTERN]]
                            [--max EVENTS] [--idle SECONDS]
With --exchange, the queue is declared (durable) and bound to that exchange; else it must be there.`;

function readOptions() {
  const text = { type: "string" };
  const { values } = parseArgs({ options: {
    url: { ...text, default: process.env.AMQP_URL ?? "amqp://guest:guest@127.0.0.1:5672/%2f" },
    queue: text, exchange: text, "routing-key": { ...text, default: "#" }, max: text, idle: text,
  } });
  if (!values.queue) throw new Error("--queue is missing");
  const [max, idle] = [Number(values.max ?? Infinity), Number(values.idle ?? Infinity)];
  if (!(max > 0 && idle > 0)) throw new Error("--max and --idle take a number above 0");
  return { ...values, max, idle };
}

// The kit has no AMQP binding, so the headers are put together here, and the kit checks that they are a CloudEvent.
// The data stays bytes: they are what was signed.
function decode(message) {
  const attributes = {};
  for (const [name, value] of Object.entries(message.properties.headers ?? {}))
    if (/^cloudEvents[:_]/.test(name)) attributes[name.slice("cloudEvents:".length)] = value;
  if (!attributes.id) throw new Error("not a CloudEvent: the header cloudEvents:id is missing"); // the kit would invent one
  const event = new CloudEvent({ ...attributes, datacontenttype: message.properties.contentType, data: message.content });
  return { event, body: message.content };
}

async function main(options) {
  let [code, seen, idleTimer] = [0, 0];
  const stopping = new AbortController();
  const stop = (because = 0) => {
    code ||= because;
    stopping.abort();
  };
  const lost = (why) => {
    if (stopping.signal.aborted) return;
    console.error(`error: ${why}`);
    stop(3); // a fresh start is the simplest way to reconnect: let your supervisor do it
  };
  const restartIdle = () => {
    clearTimeout(idleTimer);
    if (options.idle !== Infinity) idleTimer = setTimeout(stop, options.idle * 1000);
  };

  const connection = await amqp.connect(options.url);
  connection.on("error", () => {}).on("close", (error) => lost(`connection closed: ${error?.message ?? "by the broker"}`));
  const channel = await connection.createChannel();
  channel.on("error", (error) => lost(error.message));
  process.once("SIGTERM", () => stop()).once("SIGINT", () => stop());

  const onMessage = async (message) => {
    if (message === null) return lost("the queue was deleted");
    if (stopping.signal.aborted) return; // not acknowledged: the broker gives it to the next consumer
    try {
      const trusted = await handle(`${options.queue}#${message.fields.deliveryTag}`, () => decode(message));
      // At least once: acknowledged only after it was handled. After a crash the unacknowledged events come again. The
      // memory of ids lives only as long as this process: where doing the work twice would hurt, keep the id beside its
      // result, in one transaction. A rejected one goes to the queue's dead-letter exchange, if it has one.
      if (trusted) channel.ack(message);
      else channel.nack(message, false, false);
      if (!trusted) code ||= 1;
    } catch (error) {
      console.error(`error: ${error.message}`);
      return stop(error instanceof MissingSecret ? 2 : 3); // not acknowledged: it comes again
    }
    restartIdle();
    if (++seen >= options.max) stop();
  };

  let inHand = Promise.resolve(); // one message after the other
  try {
    if (options.exchange) {
      await channel.assertQueue(options.queue, { durable: true });
      await channel.bindQueue(options.queue, options.exchange, options["routing-key"]);
    }
    await channel.prefetch(100);
    await channel.consume(options.queue, (message) => (inHand = inHand.then(() => onMessage(message))));
    restartIdle();
  } catch (error) {
    lost(error.message);
  }

  if (!stopping.signal.aborted) await once(stopping.signal, "abort");
  await inHand;
  clearTimeout(idleTimer);
  await channel.close().catch(() => {}); // sends the acknowledgements that are still in the buffer
  await connection.close().catch(() => {});
  return code;
}

let options;
try {
  options = readOptions();
} catch (error) {
  console.error(`error: ${error.message}\n${USAGE}`);
  process.exit(2);
}
process.exitCode = await main(options).catch((error) => {
  console.error(`error: ${error.message}`);
  return 3;
});
