/** A timeline as stretches to draw, and clocks that go on. Pure; tests compare it with `core/timeline.py`. */

import { kindOf, told } from "./causes.js";
import { isFinal, meaning } from "./phases.js";

/** Phases that mean something else, in which pods go down. */
const GOING_DOWN = ["Stopping", "Suspending"];

/**
 * Cut a timeline into the stretches to draw: the queue, then running and interruptions in turn, and its end.
 *
 * An interruption is one stretch, however many phases it has. Its kind is the most certain cause in any of them. The
 * end is a stretch where there is more to tell than success; a failure takes no time of its own.
 *
 * @param timeline moments `{at, phase, message}`, oldest first, `at` in epoch seconds.
 * @param end epoch seconds; end of the last stretch if the workload has not ended.
 * @returns `{kind, since, until, messages, clock, ends}`: `clock` is the one that counts it, `queue`, `running` or
 *   `away`; `ends` for the end.
 */
export function stretches(timeline, end) {
  const parts = [];
  let ran = false;
  let last = null;
  for (const { moment, next, over } of annotated(timeline)) {
    if (over && meaning(moment) !== "failed") { last = null; continue; }
    ran ||= meaning(moment) === "running";
    const clock = clockOf(moment, next, last) ?? (ran ? "away" : "queue");
    const ends = isEnd(moment, next, last);
    const goesOn = last && (ends ? last.ends : !last.ends && last.clock === clock);
    if (!goesOn) parts.push((last = { clock, ends, since: moment.at, moments: [] }));
    last.until = over ? moment.at : Math.max(next ? next.at : end, moment.at);
    last.moments.push(moment);
  }
  return parts.map(({ moments, ...rest }) => (
    { ...rest, kind: kindOf({ moments, ...rest }), messages: messagesOf(moments) }));
}

/** Which clock counts a moment; `undefined` for queue or interruption. */
function clockOf(moment, next, last) {
  if (meaning(moment) === "failed") return last?.clock;
  // A process that shuts down because it is done has not been interrupted.
  const leavesToEnd = meaning(moment) === "leaving" && isFinal(next) && last?.clock === "running";
  return meaning(moment) === "running" || leavesToEnd ? "running" : undefined;
}

/** Whether a moment belongs to the end: failure, deletion, and pods that go down for either or, as told, too early. */
function isEnd(moment, next, last) {
  if (["failed", "deleting"].includes(meaning(moment))) return true;
  if (meaning(moment) !== "leaving" || last?.clock !== "running") return false;
  const isTold = told([moment]) !== undefined;
  return meaning(next) === "failed" || (meaning(next) === "succeeded" && isTold) ||
    (meaning(next) === "deleting" && !isTold);
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
  const clock = stretches(timeline, now).at(-1)?.clock ?? "away";
  const goesOn = clock === "away" ? ["interruption", "interrupted_total"] : [clock];
  const holds = holdsGpus(timeline) ? ["holding"] : [];
  const moving = [...goesOn, ...holds, "total"].filter((name) => name in clocks);
  return { ...clocks, ...Object.fromEntries(moving.map((name) => [name, clocks[name] + passed])) };
}
