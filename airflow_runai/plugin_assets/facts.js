/** What else is known of a workload: clocks, reasons, progress, usage, its log, the platform's messages. */

import { Facts, h, Section, SOFT, Table } from "./elements.js";
import { summary, words } from "./marks.js";
import { clock, duration, number, zone } from "./text.js";

const CLOCKS = {
  queue: "Queued until the first run",
  running: "Running",
  interrupted_total: "Interrupted, altogether",
  interruption: "Interrupted, now",
  total: "Since submission",
};
const GPU_SECONDS = {
  waiting: "Waiting",
  allocated: "Allocated",
  starting: "Starting, at first",
  useful: "Useful",
  lost: "Lost to interruptions",
};
const LIST = { margin: 0, paddingLeft: "1.2em", overflowWrap: "anywhere" };
const NEWEST = 10;
const given = (value, write) => (value === undefined || value === "" ? "" : write(value));
const LINE = "1px solid color-mix(in srgb, currentColor 18%, transparent)";
const WRAPPED = { whiteSpace: "pre-wrap", overflowWrap: "anywhere", fontSize: "0.85em" };

/** @param guaranteed until when the workload will not be preempted, in epoch seconds; null if that is not known. */
export function Clocks({ clocks, guaranteed }) {
  const facts = Object.entries(CLOCKS).map(([name, label]) => [label, duration(clocks[name]), name]);
  const certain = ["Not preempted before", guaranteed === null ? "" : clock(guaranteed), "guaranteed"];
  return h(Facts, { part: "clocks", facts: [...facts, certain] });
}

export function Reasons({ reasons }) {
  return h(Section, { title: "Why", part: "reasons" },
    h("ul", { style: LIST }, ...reasons.map((reason, index) => h("li", { key: index }, reason))));
}

export function Progress({ progress }) {
  const { step, target, checkpoints } = progress;
  const share = target > 0 && step !== undefined ? ` (${Math.floor((100 * step) / target)} %)` : "";
  const facts = [
    ["Step", `${given(step, number)}${given(target, (value) => ` of ${number(value)}`)}${share}`, "step"],
    ["Steps an hour, while running", given(progress.per_hour, (value) => number(Math.round(value))), "speed"],
    ["Expected finish", given(progress.finish, clock), "finish"],
    ["… if interrupted as much as so far", given(progress.finish_with_waits, clock), "finish-with-waits"],
    ["Checkpoints", checkpoints.length ? summary(checkpoints) : undefined, "checkpoints"],
  ];
  return h(Section, { title: "Progress", part: "progress" },
    share ? h("progress", { value: step, max: target, "aria-label": "Steps", style: { width: "100%" } }) : null,
    h(Facts, { facts }),
    checkpoints.length ? h(Newest, { checkpoints }) : null);
}

function Newest({ checkpoints }) {
  return h("details", null,
    h("summary", null, "The newest checkpoints"),
    h("ul", { style: LIST },
      ...checkpoints.slice(-NEWEST).toReversed().map((one, index) => h("li", { key: index }, words(one)))));
}

export function Usage({ usage }) {
  const seconds = Object.entries(GPU_SECONDS).map(([name, label]) => [label, given(usage[name], duration), name]);
  const idle = (share) => `${Math.round(100 * share)} % of ${duration(usage.running_seconds ?? 0)}`;
  const facts = [
    ["GPUs", given(usage.gpus, number), "gpus"],
    ...seconds,
    ["Idle", given(usage.idle_share, idle), "idle"],
    ["Least is lost with a checkpoint every", given(usage.checkpoint_interval, duration), "advice"],
  ];
  return h(Section, { title: "Usage (time of all GPUs together)", part: "usage" }, h(Facts, { facts }));
}

export function Log({ log }) {
  const style = { ...WRAPPED, margin: 0, padding: 8, maxHeight: "24em", overflow: "auto", border: LINE };
  // A region that scrolls must be reachable by keyboard.
  return h(Section, { title: "End of the log", part: "log" },
    h("pre", { tabIndex: 0, "aria-label": "End of the log", style }, log));
}

export function Moments({ timeline }) {
  const rows = timeline.toReversed().map((moment) => [clock(moment.at), moment.phase, moment.message]);
  const heads = ["Time", "Phase", "Message of the platform"];
  return h(Section, { title: "What the platform said", part: "moments" },
    h("p", { "data-part": "zone", style: { margin: 0, fontSize: "0.85em", ...SOFT } }, `All times are in ${zone()}.`),
    h(Table, { caption: "Phases of the workload, the newest first", heads, rows }));
}
