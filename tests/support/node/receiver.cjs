// A receiver of webhooks: Node's own HTTP, the official library of Standard Webhooks, and Node's own crypto beside it.
// It prints its port, and then for each request one line of JSON: what came, and what library and crypto say of it for
// each secret. The first attempt at each message and path is refused, so that there is a second.
//
// node receiver.cjs FOLDER_WITH_PACKAGES PUBLIC_KEY SECRET...

const { createHmac, createPublicKey, verify } = require("node:crypto");
const { createServer } = require("node:http");
const { createRequire } = require("node:module");

const [folder, publicKey, ...secrets] = process.argv.slice(2);
const { Webhook } = createRequire(`${folder}/`)("standardwebhooks");

function byLibrary(secret, headers, body) {
  try {
    new Webhook(secret).verify(body, headers, { jsonParse: false });
    return "good";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

function signedBytes(headers, body) {
  return Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`), body]);
}

function byCrypto(secret, headers, body) {
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const code = createHmac("sha256", key).update(signedBytes(headers, body)).digest("base64");
  return headers["webhook-signature"].split(" ").includes(`v1,${code}`);
}

function byPublicKey(headers, body) {
  const x = Buffer.from(publicKey.replace("whpk_", ""), "base64").toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  const signatures = headers["webhook-signature"].split(" ").filter((one) => one.startsWith("v1a,"));
  return signatures.some((one) => verify(null, signedBytes(headers, body), key, Buffer.from(one.slice(4), "base64")));
}

const seen = new Set();

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const [headers, body] = [request.headers, Buffer.concat(chunks)];
  const name = `${request.url} ${headers["webhook-id"]}`;
  const status = seen.has(name) ? 204 : 503;
  seen.add(name);
  const told = {
    path: request.url,
    headers,
    body: body.toString("base64"),
    status,
    library: secrets.map((secret) => byLibrary(secret, headers, body)),
    crypto: secrets.map((secret) => byCrypto(secret, headers, body)),
    publicKey: byPublicKey(headers, body),
    forged: secrets.map((secret) => byLibrary(secret, headers, Buffer.concat([body, Buffer.from(" ")]))),
  };
  console.log(JSON.stringify(told));
  response.writeHead(status).end();
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
