/** A timeline as stretches to draw, and clocks that go on. Pure; tests compare it with `core/timeline.py`. */

import { isFinal, meaning } from "./phases.js";

const PREEMPTED = /preempt/i;
const CRASHED = /exit code|crash|back-?off|out of memory|oomkilled|error/i;
const EVICTED = /evict/i;
/** Phases that mean something else, in which pods go down. */
const GOING_DOWN = ["Stopping", "Suspending"];
const NODE = /\bon (node )?([\w.-]*\w)/i;

/**
 * Cut a timeline into the stretches to draw: the queue, then running and interruptions in turn.
 *
 * An interruption is one stretch, however many phases it has. Its kind is the most certain cause in any of them.
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
    if (last?.group !== group) parts.push((last = { group, since: moment.at, moments: [] }));
    last.until = Math.max(next ? next.at : end, moment.at);
    last.moments.push(moment);
  }
  return parts.map(({ group, moments, ...rest }) => ({
    ...rest,
    kind: group === "away" ? cause(moments) : group,
    messages: messagesOf(moments),
  }));
}

/** How often each cause has interrupted; empty where the timeline was cut, and so does not know. */
export function causes(parts, clocks) {
  const away = parts.filter(({ kind }) => kind !== "queue" && kind !== "running");
  const counts = {};
  if (away.length === clocks.interruptions) for (const { kind } of away) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** Why a workload was interrupted; only the platform's own words make it a preemption. */
function cause(moments) {
  const says = (words) => moments.some((moment) => words.test(moment.message));
  const is = (name) => moments.some((moment) => meaning(moment) === name);
  if (says(PREEMPTED)) return "preempted";
  if (is("suspended")) return "suspended";
  if (says(CRASHED)) return "crashed";
  return says(EVICTED) || is("leaving") ? "evicted" : "interrupted";
}

function messagesOf(moments) {
  const messages = [];
  for (const { message } of moments)
    if (message && !messages.some((said) => message.includes(said))) messages.push(message);
  return messages;
}

/** Drop unknown phases, and mark the moments after the end; being deleted then does not undo it. */
function annotated(timeline) {
  let over = false;
  const known = timeline.filter((moment, index) => index === 0 || meaning(moment) !== "unknown");
  return known.map((moment, index) => {
    over = isFinal(moment) || (over && ["leaving", "deleting"].includes(meaning(moment)));
    return { moment, next: known[index + 1], over };
  });
}

/** Whether GPUs are held in the end: pods that go down keep those that they have. */
function holdsGpus(timeline) {
  return annotated(timeline).reduce((held, { moment }) => {
    const goesDown = ["leaving", "deleting"].includes(meaning(moment)) || GOING_DOWN.includes(moment.phase);
    return ["starting", "running"].includes(meaning(moment)) || (held && goesDown);
  }, false);
}

/** Advance the clocks: they were read at the last change, which may be hours ago. */
export function goOn(clocks, timeline, now) {
  const takenAt = timeline[0].at + clocks.total;
  const passed = annotated(timeline).at(-1).over ? 0 : Math.max(0, now - takenAt);
  const kind = stretches(timeline, now).at(-1)?.kind;
  const goesOn = kind === "running" || kind === "queue" ? [kind] : ["interruption", "interrupted_total"];
  const holds = holdsGpus(timeline) ? ["holding"] : [];
  const moving = [...goesOn, ...holds, "total"].filter((name) => name in clocks);
  return { ...clocks, ...Object.fromEntries(moving.map((name) => [name, clocks[name] + passed])) };
}

/**
 * Where each incarnation lived: as published, or else one for each running stretch, with the node that it names.
 *
 * @param published `[{node, since, until}]`; `until` is missing while it lives.
 */
export function incarnations(parts, published = []) {
  const end = parts.at(-1)?.until ?? 0;
  const found = published.length ? published : parts.filter((part) => part.kind === "running").map(
    ({ since, until, messages }) => ({ node: messages.map(nodeIn).find(Boolean), since, until }));
  return found.map(({ node = "", since, until = end }, index) => ({ number: index + 1, node, since, until }));
}

const nodeIn = (message) => (/^running on /i.test(message) ? (NODE.exec(message)?.[2] ?? "") : "");
