/** Facts of tasks that judge, from their results: verdicts, gates, trials, the champion before and after. */

import { Facts, h, Section, Table } from "./elements.js";
import { bytes, clock, number } from "./text.js";
import { Trials } from "./trials.js";

const MOST = 50;

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value) => typeof value === "string";
const list = (value) => (Array.isArray(value) ? value.slice(0, MOST) : []);
const shown = (value) => (isText(value) ? value.slice(0, 2000) : typeof value === "number" ? number(value) : "");
const entries = (metrics) => (isObject(metrics) ? Object.entries(metrics).slice(0, MOST) : []);
const pairs = (metrics) => entries(metrics).map(([name, one]) => `${name} ${shown(one)}`).join(", ");

/** Return the component that shows a result, or null if it is not one that judges a checkpoint. */
export function evidenceOf(result) {
  if (!isObject(result)) return null;
  if (Array.isArray(result.trials)) return Sweep;
  if (Array.isArray(result.refused) && isText(result.verdict)) return Verdicts;
  if (Array.isArray(result.gates) && isObject(result.metrics)) return Gates;
  return "previous" in result && isText(result.uri) ? Champion : null;
}

/** All trials, and below them the evaluation of the best. */
function Sweep({ result: { trials, ...best } }) {
  const Evidence = evidenceOf(best);
  return h("div", { style: { display: "grid", gap: 20, minWidth: 0 } }, h(Trials, { trials }),
    Evidence ? h(Evidence, { result: best }) : null);
}

function Verdicts({ result }) {
  const moved = (one) => (isText(one.quarantined) ? `; moved to ${one.quarantined}` : "");
  const refused = list(result.refused).filter(isObject)
    .map((one) => [shown(one.path), shown(one.verdict), shown(one.reasons) + moved(one)]);
  const facts = [
    ["Chosen", shown(result.uri)],
    ["Step", shown(result.step)],
    ["Verdict", shown(result.verdict)],
    ["Format", shown(result.format)],
    ["Size", typeof result.bytes === "number" ? bytes(result.bytes) : ""],
    ["Digest", shown(result.digest)],
  ];
  const rows = [...refused, [shown(result.uri), shown(result.verdict), "chosen"]];
  return h(Section, { title: "Checkpoint", part: "verdicts" }, h(Facts, { facts }),
    h(Table, { caption: "Checkpoints, in the order of the checks", heads: ["Checkpoint", "Verdict", "Why"], rows }));
}

function Gates({ result }) {
  const { metrics, checkpoint, passed, champion } = result;
  const failures = list(result.failures).map(shown);
  const rows = list(result.gates).map(shown).map((gate) => {
    const metric = gate.split(" ")[0];
    const measured = Object.hasOwn(metrics, metric) ? shown(metrics[metric]) : "not a finite number";
    return [gate, measured, failures.some((one) => one.endsWith(`the gate asks for ${gate}`)) ? "failed" : "passed"];
  });
  const facts = [
    ["Checkpoint", shown(isObject(checkpoint) ? (checkpoint.uri ?? checkpoint.path) : checkpoint)],
    ["Step", isObject(checkpoint) ? shown(checkpoint.step) : ""],
    ["Judgement", passed === true ? "passed" : passed === false ? "did not pass" : ""],
    ["Judged against", isObject(champion) ? shown(champion.uri) : champion === null ? "no champion yet" : ""],
    ["Metrics", pairs(metrics)],
  ];
  return h(Section, { title: "Evaluation", part: "gates" }, h(Facts, { facts }),
    rows.length ? h(Table, { caption: "Gates", heads: ["Gate", "Measured", "Result"], rows }) : null);
}

function Champion({ result }) {
  const heads = ["", "Checkpoint", "Step", "Metrics", "Promoted", "By"];
  const row = (name, one) => [
    name, shown(one.uri), shown(one.step), pairs(one.metrics),
    typeof one.promoted_at === "number" && Math.abs(one.promoted_at) < 8.64e12 ? clock(one.promoted_at) : "",
    isObject(one.run) ? `${shown(one.run.dag_id)} ${shown(one.run.run_id)}` : "",
  ];
  const before = isObject(result.previous) ? row("Before", result.previous) : ["Before", "none"];
  return h(Section, { title: "Champion", part: "champion" },
    h(Table, { caption: "The champion after this task, and before it", heads, rows: [row("Now", result), before] }));
}
