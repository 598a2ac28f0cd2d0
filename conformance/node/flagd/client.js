// Stock clients of flagd. Reads one JSON object a line and answers with one a line:
//   {"connect": "in-process"|"rpc"|"web", "url", "key"?, "selector"?, "cache"?}       a new client   {"ok": true}
//   {"flag", "type", "default", "context"}   one evaluation   {"value", "variant", "reason", "errorCode", "metadata"}
//   {"await": "change", "ms"}                waits for a change that was not asked for yet        {"flagsChanged"}
// What fails answers {"failed": "why"}. Server-side providers of flagd can send no key; web can.
import { createInterface } from "node:readline";
import { FlagdProvider } from "@openfeature/flagd-provider";
import { FlagdWebProvider } from "@openfeature/flagd-web-provider";
import { OpenFeature as Server } from "@openfeature/server-sdk";
import { OpenFeature as Web, ProviderEvents } from "@openfeature/web-sdk";

// The stock deadline of 500 ms is for machines with time for it.
const deadlineMs = 20_000;

const clients = { server: Server.getClient(), web: Web.getClient() };
let client;
let web = false;
const changes = [];
let wake = () => {};

function changed(details) {
  changes.push(details ?? {});
  wake();
}

for (const c of Object.values(clients)) c.addHandler(ProviderEvents.ConfigurationChanged, changed);

function withHeaders(headers) {
  return (next) => (request) => {
    for (const [name, value] of Object.entries(headers)) request.header.set(name, value);
    return next(request);
  };
}

function provider({ connect, url, key, selector, cache }) {
  const { hostname: host, port: text } = new URL(url);
  const port = Number(text);
  if (!web) return new FlagdProvider({ resolverType: connect, host, port, selector, deadlineMs, cache: cache ?? "disabled" });
  const headers = { Authorization: `Bearer ${key}` };
  if (selector) headers["Flagd-Selector"] = selector;
  return new FlagdWebProvider({ host, port, tls: false, interceptors: [withHeaders(headers)] });
}

async function connect(request) {
  await Promise.all([Server.clearProviders(), Web.clearProviders()]);
  web = request.connect === "web";
  const api = web ? Web : Server;
  await api.setProviderAndWait(provider(request));
  client = web ? clients.web : clients.server;
  changes.length = 0;
  return { ok: true };
}

let last;

async function evaluate({ flag, type, default: fallback, context }) {
  const how = { boolean: "Boolean", string: "String", integer: "Number", float: "Number", object: "Object" }[type];
  const text = JSON.stringify(context);
  if (web && text !== last) {
    await Web.setContext(context); // evaluates all flags
    last = text;
  }
  const details = await client[`get${how}Details`](flag, fallback, ...(web ? [] : [context]));
  const { value, variant, reason, errorCode, errorMessage, flagMetadata: metadata } = details;
  return { value, variant, reason, errorCode, errorMessage, metadata };
}

async function next(ms) {
  const end = Date.now() + ms;
  while (changes.length === 0) {
    const left = end - Date.now();
    if (left <= 0) throw new Error(`no change came within ${ms} ms`);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, left);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
  const { flagsChanged } = changes.shift();
  return { flagsChanged };
}

async function answer(request) {
  if (request.connect) return connect(request);
  if (request.flag) return evaluate(request);
  return next(request.ms);
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  let text;
  try {
    text = JSON.stringify(await answer(JSON.parse(line)));
  } catch (error) {
    text = JSON.stringify({ failed: String(error?.stack ?? error) });
  }
  process.stdout.write(text + "\n");
}
process.exit(0); // the streams would keep the process
