// Reads one JSON object a line and answers with one a line:
//   {"document": {...}}                          a flagd file          {"ok": true}
//   {"document": {...}, "lenient": true}         one that its schema need not allow
//   {"flag": key, "context": {...}}              one evaluation        {"variant", "value", "reason", "errorCode"}
//   {"flag": key, "context": {...}, "interpret": true}                 the same without generated code
// What fails answers {"failed": "why"}.
import { createInterface } from "node:readline";
import { FlagdCore, MemoryStorage } from "@openfeature/flagd-core";

const quiet = { error() {}, warn() {}, info() {}, debug() {} };
let compiled, interpreted;

function load({ document, lenient }) {
  const text = JSON.stringify(document);
  const strict = new MemoryStorage(quiet);
  strict.setConfigurations(text, !lenient); // throws what the schema of flagd does not allow
  compiled = new FlagdCore(undefined, quiet);
  compiled.setConfigurations(text);
  interpreted = new FlagdCore(undefined, quiet, { disableDynamicCodeGeneration: true });
  interpreted.setConfigurations(text);
  return { ok: true };
}

function evaluate({ flag: key, context, interpret }) {
  const flag = (interpret ? interpreted : compiled).getFlag(key);
  if (!flag) return { errorCode: "FLAG_NOT_FOUND", reason: "ERROR" };
  if (flag.state === "DISABLED") return { reason: "DISABLED" };
  const { variant, value, reason, errorCode, errorMessage } = flag.evaluate(context, quiet);
  return { variant, value, reason, errorCode, errorMessage };
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  let answer;
  try {
    const request = JSON.parse(line);
    answer = request.document ? load(request) : evaluate(request);
  } catch (error) {
    answer = { failed: String(error?.stack ?? error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
