/** Why a workload was interrupted or ended, by the platform's phases and words. Pure. */

import { meaning } from "./phases.js";

/** The same as in `core/timeline.py`. */
const PREEMPTED = new RegExp([
  "(?<!\\bnot )(?<!\\bnever )(?<!\\bbe )preempted\\b",
  "(?<!\\bno )(?<!\\bpending )(?<!\\bpending the )(?<!\\bwaiting for )(?<!after)preemption"
    + "(?!\\s*(?:of|is|victims?|policy)\\b|\\s*:\\s*\\d)",
].join("|"), "i");
const CRASHED = new RegExp([
  "exit(?:ed)?(?: with)?(?: code| status)[ :=]*-?[1-9]", "back-?off", "out ?of ?memory", "oomkilled",
  "(?<!\\b(?:no|0|without|without any) )\\b(?:crash|errors?\\b)",
].join("|"), "i");
/** A container that has not started cannot crash, though its image's errors and back-offs are called so. */
const IMAGE = /image ?pull|pulling image/i;
const EVICTED = /evict/i;
const SUSPENDED = /suspend/i;

/** The kind of a stretch; only the platform's own words make it a preemption. */
export function kindOf({ clock, ends, moments }) {
  const is = (name) => moments.some((moment) => meaning(moment) === name);
  if (ends) return is("deleting") ? "deleted" : told(moments) ?? (clock === "running" ? "crashed" : "failed");
  if (clock !== "away") return clock;
  const words = told(moments);
  if (words !== "preempted" && is("suspended")) return "suspended";
  return words ?? (is("leaving") ? "evicted" : "interrupted");
}

/** The most certain cause that the messages tell; `undefined` if they tell none. */
export function told(moments) {
  const says = (words, but) => moments.some(({ message }) => words.test(message) && !but?.test(message));
  if (says(PREEMPTED)) return "preempted";
  if (says(CRASHED, IMAGE)) return "crashed";
  if (says(EVICTED)) return "evicted";
  return says(SUSPENDED) ? "suspended" : undefined;
}

/** How often each cause has interrupted; empty where the timeline was cut, and so does not know. */
export function causes(parts, clocks) {
  const away = parts.filter(({ clock, ends }) => clock === "away" && !ends);
  const counts = {};
  if (away.length === clocks.interruptions) for (const { kind } of away) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
