// A web client with OpenFeature's stock OFREP provider, which never polls. Reads one JSON object a
// line and answers with one a line:
//   {"connect": {"url", "key", "environment"?}, "context"}   a new client             {"ok": true}
//   {"context": {...}}                                       another context          {"ok": true}
//   {"flag", "type", "default"}           one evaluation      {"value", "variant", "reason", "errorCode", "metadata"}
//   {"await": "change"|"stale", "ms"}     waits for an event that was not asked for yet   {"flagsChanged", "message"}
// What fails answers {"failed": "why"}.
import { createInterface } from "node:readline";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { OpenFeature, ProviderEvents } from "@openfeature/web-sdk";
import { EventSource } from "eventsource";

globalThis.EventSource = EventSource;

const client = OpenFeature.getClient();
const events = { change: [], stale: [] };
let wake = () => {};

function record(kind) {
  return (details) => {
    events[kind].push(details ?? {});
    wake();
  };
}

client.addHandler(ProviderEvents.ConfigurationChanged, record("change"));
client.addHandler(ProviderEvents.Stale, record("stale"));

async function connect({ url, key, environment }, context) {
  await OpenFeature.clearProviders();
  events.change.length = events.stale.length = 0;
  const headers = [["Authorization", `Bearer ${key}`]];
  if (environment) headers.push(["Flagd-Selector", `flagSetId=${environment}`]);
  await OpenFeature.setContext(context ?? {});
  await OpenFeature.setProviderAndWait(new OFREPWebProvider({ baseUrl: url, headers, pollInterval: 0, cacheMode: "disabled" }));
  return { ok: true };
}

function evaluate({ flag, type, default: fallback }) {
  const how = { boolean: "Boolean", string: "String", integer: "Number", float: "Number", object: "Object" }[type];
  const details = client[`get${how}Details`](flag, fallback);
  const { value, variant, reason, errorCode, errorMessage, flagMetadata: metadata } = details;
  return { value, variant, reason, errorCode, errorMessage, metadata };
}

async function await_({ await: kind, ms }) {
  const end = Date.now() + ms;
  while (events[kind].length === 0) {
    const left = end - Date.now();
    if (left <= 0) throw new Error(`no ${kind} came within ${ms} ms`);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, left);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
  const { flagsChanged, message } = events[kind].shift();
  return { flagsChanged, message };
}

async function answer(request) {
  if (request.connect) return connect(request.connect, request.context);
  if (request.flag) return evaluate(request);
  if (request.await) return await_(request);
  await OpenFeature.setContext(request.context);
  return { ok: true };
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
process.exit(0); // the stream would keep the process
