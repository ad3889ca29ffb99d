/** Where each incarnation lived. Pure. */

import { LIMITS } from "./news.js";

const NODE = /\bon (node )?([\w.-]*\w)/i;

/**
 * The incarnations, as published, or else one for each running stretch, with the node that it names.
 *
 * A long timeline lacks its middle, so those before it are left out, and numbers are counted from the end.
 *
 * @param incarnations as published: `[{node, since, until}]`; `until` is missing while it lives.
 */
export function lives(parts, { timeline, clocks, incarnations }) {
  const end = parts.at(-1)?.until ?? 0;
  const isCut = timeline.length >= LIMITS.moments;
  const known = isCut ? timeline[LIMITS.first].at : -Infinity;
  const found = incarnations.length ? incarnations : fromMessages(parts).filter(({ since }) => since > known);
  const before = isCut ? Math.max(newest(parts, clocks) - found.length, 0) : 0;
  return found.map(({ node = "", since, until = end }, index) => ({ number: before + index + 1, node, since, until }));
}

/** The number of the newest incarnation; while it is away, its interruption has been counted. */
function newest(parts, clocks) {
  const last = parts.findLast(({ clock, ends }) => !ends && clock !== "queue");
  return clocks.interruptions + (last?.clock === "running" ? 1 : 0);
}

function fromMessages(parts) {
  const runs = parts.filter(({ kind }) => kind === "running");
  return runs.map(({ since, until, messages }) => ({ node: messages.map(nodeIn).find(Boolean), since, until }));
}

const nodeIn = (message) => (/^running on /i.test(message) ? (NODE.exec(message)?.[2] ?? "") : "");
