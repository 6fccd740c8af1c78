// Stands in for the hosts that keys are fetched from: an HTTP proxy that answers every CONNECT itself, over TLS, with
// what it was given. So the gateway's own client, host check and TLS run as they do in production, offline.
//
//   node tests/oracles/host.mjs <folder> <host>...
//
// Writes <folder>/ca.pem, prints `proxy=http://127.0.0.1:<port>`, then reads one JSON object a line,
// { "url": …, "body": … }, and serves that body at that URL; each answers `ok`. Prints `got <url>` for every request.
// Ends when its input does.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { join } from "node:path";
import { createInterface } from "node:readline";

const [folder, ...hosts] = process.argv.slice(2);
const path = (name) => join(folder, name);
const openssl = (...options) => execFileSync("openssl", options, { stdio: "pipe" });
const names = hosts.map((host) => `DNS:${host}`).join(",");

openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=CA of a test",
  "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", path("ca.key"), "-out", path("ca.pem"));
openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", `/CN=${hosts[0]}`,
  "-keyout", path("host.key"), "-out", path("host.csr"));
writeFileSync(path("host.ext"), `subjectAltName=${names}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n`);
openssl("x509", "-req", "-in", path("host.csr"), "-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial", "-days", "2",
  "-extfile", path("host.ext"), "-out", path("host.pem"));

const served = new Map();
const origin = https.createServer({ key: readFileSync(path("host.key")), cert: readFileSync(path("host.pem")) }, (request, response) => {
  const url = `https://${request.headers.host}${request.url}`;
  console.log(`got ${url}`);
  const body = served.get(url);
  response.writeHead(body === undefined ? 404 : 200).end(body ?? "");
});
const proxy = http.createServer((_request, response) => response.writeHead(405).end());
proxy.on("connect", (request, socket, head) => {
  socket.on("error", () => socket.destroy());
  if (!hosts.includes(request.url.replace(/:443$/, ""))) return socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
  socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
  if (head.length) socket.unshift(head);
  origin.emit("connection", socket);
});
proxy.listen(0, "127.0.0.1", () => console.log(`proxy=http://127.0.0.1:${proxy.address().port}`));

for await (const line of createInterface({ input: process.stdin })) {
  const { url, body } = JSON.parse(line);
  served.set(url, body);
  console.log("ok");
}
process.exit(0);
