#!/usr/bin/env node
// Reads hooksluice's events from Kafka, verifies the platform's signature again, and recognises duplicates. One JSON
// line an event goes to standard output. Exit code: 0, 1 if an event was rejected, 2 for usage or a missing secret,
// 3 when Kafka gave up. The secrets come from the environment: see ../README.md.

import { once } from "node:events";
import { parseArgs } from "node:util";
import { Kafka as KafkaBinding } from "cloudevents";
import kafkajs from "kafkajs";
import lz4 from "lz4js";
import { handle } from "./handle.mjs";
import { MissingSecret } from "./verify.mjs";

const USAGE = "usage: kafka-consumer.mjs TOPIC… [--bootstrap-servers HOST:PORT,…] [--group NAME] [--max EVENTS] [--idle SECONDS]";

// kafkajs reads gzip alone by itself; lz4 is what hooksluice's sample configuration writes.
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;
CompressionCodecs[CompressionTypes.LZ4] = () => ({ decompress: async (bytes) => Buffer.from(lz4.decompress(bytes)) });

function readOptions() {
  const text = { type: "string" };
  const { values, positionals } = parseArgs({ allowPositionals: true, options: {
    "bootstrap-servers": { ...text, default: "127.0.0.1:9092" },
    group: { ...text, default: "hooksluice-example-node" }, max: text, idle: text,
  } });
  if (!positionals.length) throw new Error("no topic given");
  const [max, idle] = [Number(values.max ?? Infinity), Number(values.idle ?? Infinity)];
  if (!(max > 0 && idle > 0)) throw new Error("--max and --idle take a number above 0");
  return { ...values, topics: positionals, max, idle };
}

// The kit decodes both modes; what it may not do is parse the data, which must stay the bytes that were signed: it
// leaves a Uint8Array alone, where it would parse a Buffer.
function decode(message) {
  const decoded = toEvent(message);
  decoded.event.validate();
  return decoded;
}

function toEvent(message) {
  const headers = Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, String(value)]));
  const value = message.value ?? Buffer.alloc(0);
  const key = message.key?.toString();
  if (headers.ce_id) return { event: KafkaBinding.toEvent({ headers, key, value: new Uint8Array(value) }), body: value };

  const event = KafkaBinding.toEvent({ headers, key, value: value.toString() });
  if (event.data_base64) return { event, body: Buffer.from(event.data_base64, "base64") };
  // Structured mode: the data stands last in the envelope, as it was sent. The first `"data":` is the member itself,
  // because inside a JSON string its quotes would be escaped; verify() holds the slice to its SHA-256.
  const start = value.indexOf('"data":') + '"data":'.length;
  return { event, body: value.subarray(start, value.lastIndexOf("}")) };
}

async function main(options) {
  const kafka = new Kafka({ brokers: options["bootstrap-servers"].split(","), logLevel: logLevel.WARN }); // ssl, sasl beside it
  const consumer = kafka.consumer({ groupId: options.group });

  let [code, seen, idleTimer] = [0, 0];
  const stopping = new AbortController();
  const stop = (because = 0) => {
    code ||= because;
    stopping.abort();
  };
  const restartIdle = () => {
    clearTimeout(idleTimer);
    if (options.idle !== Infinity) idleTimer = setTimeout(stop, options.idle * 1000);
  };
  process.once("SIGTERM", () => stop()).once("SIGINT", () => stop());
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!payload.restart) stop(3); // else kafkajs starts over by itself
  });

  await consumer.connect();
  await consumer.subscribe({ topics: options.topics, fromBeginning: true });
  restartIdle();
  // At least once: an offset is resolved only after its event was handled, and what is resolved is committed after each
  // batch and on the way out. After a crash the last events come again. The memory of ids lives only as long as this
  // process: where doing the work twice would hurt, keep the id beside its result, in one transaction.
  await consumer.run({
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
      for (const message of batch.messages) {
        if (stopping.signal.aborted || !isRunning() || isStale()) break;
        try {
          const at = `${batch.topic}[${batch.partition}]@${message.offset}`;
          if (!(await handle(at, () => decode(message)))) code ||= 1;
        } catch (error) {
          console.error(`error: ${error.message}`);
          return stop(error instanceof MissingSecret ? 2 : 3); // not resolved: it is read again
        }
        resolveOffset(message.offset);
        if (++seen >= options.max) stop();
        restartIdle();
        await heartbeat();
      }
    },
  });

  if (!stopping.signal.aborted) await once(stopping.signal, "abort");
  await consumer.disconnect(); // waits for the batch in hand, whose resolved offsets are then committed
  clearTimeout(idleTimer);
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
