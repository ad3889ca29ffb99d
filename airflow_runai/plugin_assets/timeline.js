/**
 * The tab "Run:ai" on a task instance: what its workload did while Airflow waited.
 *
 * Written by hand against the React that Airflow's UI puts on `globalThis`, so there is nothing to build. It reads
 * Airflow's REST API with the reader's own cookie, so it shows only what the reader may see; there is no endpoint of
 * ours. The UI imports this file and takes the component from `globalThis["Run:ai"]`.
 */

const { createElement: h, useEffect, useState } = globalThis.React;

const REFRESH_SECONDS = 5;
const FINISHED = ["success", "failed", "skipped", "upstream_failed", "removed"];

/** What a phase means; a test compares this table with `airflow_runai/core/phases.py`. */
export const MEANINGS = {
  Creating: "waiting",
  Pending: "waiting",
  Resuming: "waiting",
  Initializing: "starting",
  Running: "running",
  Degraded: "running",
  Updating: "running",
  Terminating: "leaving",
  Stopping: "suspended",
  Suspending: "suspended",
  Stopped: "suspended",
  Suspended: "suspended",
  Deleting: "deleting",
  Completed: "succeeded",
  Failed: "failed",
  Unknown: "unknown",
};
const meaning = (moment) => (moment ? (MEANINGS[moment.phase] ?? "unknown") : "");
const isFinal = (moment) => ["succeeded", "failed"].includes(meaning(moment));
const isPreemption = (moment) => moment.message.toLowerCase().includes("preempt");

const KINDS = {
  queue: { label: "queued", color: "#c9a227" },
  running: { label: "running", color: "#2e9e5b" },
  interrupted: { label: "interrupted", color: "#8a93a3" },
  preempted: { label: "preempted", color: "#d9480f" },
};
const CLOCKS = {
  queue: "Queued until the first run",
  running: "Running",
  interrupted_total: "Interrupted, altogether",
  interruption: "Interrupted, now",
  total: "Since submission",
};

/** Drop unknown phases, and mark the moments after the end; being deleted then does not undo it. */
function annotated(timeline) {
  let over = false;
  const known = timeline.filter((moment, index) => index === 0 || meaning(moment) !== "unknown");
  return known.map((moment, index) => {
    over = isFinal(moment) || (over && ["leaving", "deleting"].includes(meaning(moment)));
    return { moment, next: known[index + 1], over };
  });
}

/**
 * Cut a timeline into the stretches to draw: the queue, then running and interruptions in turn.
 *
 * An interruption is one stretch, however many phases it has, and is a preemption if the platform says so in any.
 *
 * @param timeline moments `{at, phase, message}`, oldest first, `at` in epoch seconds.
 * @param end epoch seconds; end of the last stretch if the workload has not ended.
 */
export function stretches(timeline, end) {
  const parts = [];
  let ran = false;
  let last = null;
  for (const { moment, next, over } of annotated(timeline)) {
    if (over) { last = null; continue; }
    // A process that shuts down because it is done has not been interrupted.
    const leavesToEnd = meaning(moment) === "leaving" && isFinal(next) && last?.group === "running";
    const runs = meaning(moment) === "running" || leavesToEnd;
    ran ||= runs;
    const group = runs ? "running" : ran ? "away" : "queue";
    const stretch = last?.group === group ? last : { group, since: moment.at, preempted: false, messages: [] };
    if (stretch !== last) parts.push(stretch);
    stretch.until = Math.max(next ? next.at : end, moment.at);
    stretch.preempted ||= isPreemption(moment);
    const repeats = stretch.messages.some((said) => moment.message.includes(said));
    if (moment.message && !repeats) stretch.messages.push(moment.message);
    last = stretch;
  }
  return parts.map(({ group, preempted, ...rest }) => ({
    ...rest,
    kind: group === "away" ? (preempted ? "preempted" : "interrupted") : group,
  }));
}

/** Advance the clocks: they were read at the last change, which may be hours ago. */
export function goOn(clocks, timeline, now) {
  const takenAt = timeline[0].at + clocks.total;
  const passed = annotated(timeline).at(-1).over ? 0 : Math.max(0, now - takenAt);
  const kind = stretches(timeline, now).at(-1)?.kind;
  const moving = kind === "running" || kind === "queue" ? [kind, "total"] : ["interruption", "interrupted_total", "total"];
  return { ...clocks, ...Object.fromEntries(moving.map((name) => [name, clocks[name] + passed])) };
}

// --- reading ---------------------------------------------------------------------------------------------------------

async function read({ dagId, runId, taskId, mapIndex }, signal) {
  const index = mapIndex === undefined || mapIndex === null || mapIndex === "" ? -1 : Number(mapIndex);
  const [dag, run, name] = [dagId, runId, taskId].map(encodeURIComponent);
  const instance = `api/v2/dags/${dag}/dagRuns/${run}/taskInstances/${name}`;
  const xcom = (key) => get(`${instance}/xcomEntries/${key}?map_index=${index}`, signal).then(value);
  const state = get(index < 0 ? instance : `${instance}/${index}`, signal);
  const [task, workload, news] = await Promise.all([state, xcom("runai_workload"), xcom("runai_timeline")]);
  return { finished: FINISHED.includes(task?.state), workload, news, readAt: Date.now() / 1000 };
}

async function get(path, signal) {
  // Relative to <base>: Airflow may live under a sub-path.
  const answer = await fetch(new URL(path, document.baseURI), { signal, headers: { Accept: "application/json" } });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`Airflow answered ${answer.status}`);
  return answer.json();
}

function value(entry) {
  if (typeof entry?.value !== "string") return entry?.value ?? null;
  try { return JSON.parse(entry.value); } catch { return null; }
}

function useReading({ dagId, runId, taskId, mapIndex }) {
  const [reading, setReading] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const again = () => void (timer = setTimeout(look, REFRESH_SECONDS * 1000));
    const look = async () => {
      if (document.hidden) return again(); // a background tab sends no requests
      try {
        const next = await read({ dagId, runId, taskId, mapIndex }, stop.signal);
        setReading(next);
        if (!next.finished) again();
      } catch (error) {
        if (stop.signal.aborted) return;
        setReading((before) => ({ ...before, trouble: error.message }));
        again();
      }
    };
    setReading(null);
    look();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [dagId, runId, taskId, mapIndex]);
  return reading;
}

// --- text ------------------------------------------------------------------------------------------------------------

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
function duration(seconds) {
  const whole = Math.round(seconds);
  const first = UNITS.findIndex(([size]) => whole >= size);
  if (first < 0) return seconds > 0 ? "under 1 s" : "0 s";
  const [size, unit] = UNITS[first];
  const [small, smallUnit] = UNITS[first + 1] ?? [size, ""];
  const rest = Math.floor((whole % size) / small);
  return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${smallUnit}` : ""}`;
}

const DAY = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const clock = (at) => new Date(at * 1000).toLocaleString([], DAY);
const times = (count) => (count === 1 ? "once" : count ? `${count} times` : "never");
const describe = (stretch) =>
  `${KINDS[stretch.kind].label} ${duration(stretch.until - stretch.since)}, from ${clock(stretch.since)}` +
  (stretch.messages.length ? `: ${stretch.messages.join("; ")}` : "");

// --- pictures --------------------------------------------------------------------------------------------------------

const SOFT = { opacity: 0.75 };
const LINE = "1px solid color-mix(in srgb, currentColor 18%, transparent)";
const CELL = { textAlign: "left", verticalAlign: "top", padding: "4px 16px 4px 0", borderBottom: LINE };
const WIDTH = 1000;
const MIN_WIDTH = 6;

const fill = (kind) => (kind === "preempted" ? "url(#runai-preempted)" : KINDS[kind].color);
// Hatched as well as coloured, for readers who cannot tell the colours apart.
const hatching = () =>
  h("defs", null,
    h("pattern", { id: "runai-preempted", width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      h("rect", { width: 8, height: 8, fill: KINDS.preempted.color }),
      h("rect", { width: 2.5, height: 8, fill: "#ffffff", fillOpacity: 0.75 })));

/** To scale, but wide enough to be seen: a preemption of seconds matters in a training of days. */
function widths(parts) {
  const whole = Math.max(parts.at(-1).until - parts[0].since, 0.001);
  const wide = parts.map((part) => Math.max((WIDTH * (part.until - part.since)) / whole, MIN_WIDTH));
  const scale = WIDTH / wide.reduce((sum, one) => sum + one, 0);
  return wide.map((one) => one * scale);
}

function Bar({ parts }) {
  const [chosen, choose] = useState(null);
  const wide = widths(parts);
  const rects = parts.map((part, index) =>
    h("rect",
      {
        key: part.since,
        x: wide.slice(0, index).reduce((sum, one) => sum + one, 0),
        width: wide[index],
        height: 36,
        fill: fill(part.kind),
        stroke: chosen === index ? "currentColor" : "none",
        strokeWidth: 2,
        vectorEffect: "non-scaling-stroke",
        tabIndex: 0,
        role: "img",
        "aria-label": describe(part),
        "data-kind": part.kind,
        style: { outline: "none" },
        onFocus: () => choose(index),
        onMouseEnter: () => choose(index),
      },
      h("title", null, describe(part))));
  const picture = { viewBox: `0 0 ${WIDTH} 36`, preserveAspectRatio: "none", width: "100%", height: 36, role: "group" };
  return h("div", null,
    h("svg", { ...picture, "aria-label": "Timeline", style: { borderRadius: 6, display: "block" } }, hatching(), ...rects),
    h("div", { style: { display: "flex", justifyContent: "space-between", fontSize: "0.8em", ...SOFT } },
      h("span", null, clock(parts[0].since)), h("span", null, clock(parts.at(-1).until))),
    h("p", { "data-part": "chosen", "aria-live": "polite", style: { minHeight: "1.5em", margin: "8px 0" } },
      parts[chosen] ? describe(parts[chosen]) : "Hover over a part of the bar, or tab to it, to read the platform's messages."),
    h(Legend));
}

function Legend() {
  const sample = (kind) =>
    h("svg", { width: 16, height: 11, "aria-hidden": true, style: { display: "inline-block", marginRight: 6 } },
      h("rect", { width: 16, height: 11, rx: 2, fill: fill(kind) }));
  return h("div", { style: { display: "flex", flexWrap: "wrap", gap: "4px 16px", fontSize: "0.85em", ...SOFT } },
    ...Object.entries(KINDS).map(([kind, { label }]) => h("span", { key: kind }, sample(kind), label)));
}

function Clocks({ clocks }) {
  return h("dl", { "data-part": "clocks", style: { display: "flex", flexWrap: "wrap", gap: "8px 32px", margin: 0 } },
    ...Object.entries(CLOCKS).map(([name, label]) =>
      h("div", { key: name, "data-clock": name },
        h("dt", { style: { fontSize: "0.85em", ...SOFT } }, label),
        h("dd", { style: { margin: 0, fontSize: "1.1em", fontVariantNumeric: "tabular-nums" } }, duration(clocks[name])))));
}

function Moments({ timeline }) {
  const row = (moment) =>
    h("tr", { key: `${moment.at} ${moment.phase}` },
      h("td", { style: { ...CELL, whiteSpace: "nowrap" } }, clock(moment.at)),
      h("td", { style: CELL }, moment.phase),
      h("td", { style: { ...CELL, overflowWrap: "anywhere" } }, moment.message));
  const heads = ["Time", "Phase", "Message of the platform"];
  return h("table", { style: { borderCollapse: "collapse", width: "100%" } },
    h("thead", null, h("tr", null, ...heads.map((head) => h("th", { key: head, scope: "col", style: CELL }, head)))),
    h("tbody", null, ...[...timeline].reverse().map(row)));
}

function Title({ workload, news }) {
  const link = { href: workload?.url, target: "_blank", rel: "noreferrer", style: { textDecoration: "underline" } };
  const name = workload?.name ?? "Workload";
  const { interruptions = 0, preemptions = 0 } = news?.clocks ?? {};
  return h("div", { style: { display: "flex", flexWrap: "wrap", gap: "4px 24px", alignItems: "baseline" } },
    h("strong", { style: { fontSize: "1.2em", overflowWrap: "anywhere" } },
      /^https?:/.test(workload?.url ?? "") ? h("a", link, `${name} ↗`) : name),
    news ? h("strong", { "data-part": "phase" }, news.phase) : null,
    workload?.project ? h("span", { style: SOFT }, `project ${workload.project}`) : null,
    news ? h("span", { style: SOFT },
      interruptions ? `interrupted ${times(interruptions)}, preempted ${times(preemptions)}` : "never interrupted") : null);
}

function Account({ reading }) {
  const { workload, news, finished, readAt } = reading;
  if (!news?.timeline?.length)
    return h("p", null, finished
      ? "This task did not wait for the workload, so there is no history to show."
      : "The history appears after the first look at the workload.");
  const { timeline, clocks } = news;
  // Once the task is finished, nothing watches the workload: the clocks stop where they were last read.
  const now = finished ? timeline[0].at + clocks.total : readAt;
  const parts = stretches(timeline, now);
  return h("div", { style: { display: "grid", gap: 20 } },
    parts.length ? h(Bar, { parts }) : null,
    h(Clocks, { clocks: goOn(clocks, timeline, now) }),
    h(Moments, { timeline }));
}

function RunaiTab(props) {
  const reading = useReading(props);
  if (!reading) return h("p", { style: { padding: 16 } }, "Looking …");
  const { workload, news, finished, trouble } = reading;
  const nothingSubmitted = finished
    ? "This task has submitted nothing to Run:ai, so there is nothing to show."
    : "This task has submitted nothing to Run:ai (yet). Once it does, its workload's timeline appears here.";
  return h("section", { "aria-label": "Run:ai workload", style: { padding: 16, display: "grid", gap: 20 } },
    trouble ? h("p", { role: "status" }, `This may be outdated: ${trouble}. Trying again.`) : null,
    workload || news ? h(Title, { key: "title", workload, news }) : null,
    workload || news ? h(Account, { key: "account", reading }) : trouble ? null : h("p", null, nothingSubmitted));
}

globalThis["Run:ai"] = RunaiTab;
