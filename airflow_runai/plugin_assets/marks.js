/** The checkpoints on the bar's axis; one that cannot be used is taller, and red. */

import { h } from "./elements.js";
import { WIDTH } from "./scale.js";
import { clock, number } from "./text.js";

const GOOD = ["valid", "unverifiable"];
const OPEN = ["in_progress", "unknown", ""];
const HEIGHT = 16;

function look(verdict) {
  if (GOOD.includes(verdict)) return { height: 8, fill: "#2e9e5b" };
  return OPEN.includes(verdict) ? { height: 5, fill: "#8a93a3" } : { height: HEIGHT, fill: "#b3202c" };
}

/** A check below level 2 has not read every byte. */
const judged = ({ verdict, level }) => (verdict ? verdict + (level < 2 ? " by structure" : "") : "not checked");

export const words = (one) =>
  `Checkpoint${one.step === null ? "" : ` of step ${number(one.step)}`}: ${judged(one)}, ${clock(one.at)}`;

export function Marks({ checkpoints, scale }) {
  const box = (one) => ({ x: Math.min(scale.place(one.at), WIDTH - 2), width: 2, ...look(one.verdict) });
  const mark = (one, index) =>
    h("rect", { key: index, ...box(one), "data-verdict": one.verdict }, h("title", null, words(one)));
  const picture = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", width: "100%", height: HEIGHT };
  return h("svg", { ...picture, role: "img", "aria-label": summary(checkpoints), style: { display: "block" } },
    ...checkpoints.map(mark));
}

export function summary(checkpoints) {
  const counts = new Map();
  for (const one of checkpoints) counts.set(judged(one), (counts.get(judged(one)) ?? 0) + 1);
  const listed = [...counts].map(([verdict, count]) => `${count} ${verdict}`);
  return `${checkpoints.length} checkpoint${checkpoints.length === 1 ? "" : "s"}: ${listed.join(", ")}`;
}
