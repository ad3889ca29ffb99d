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

export const words = ({ at, step, verdict }) =>
  `Checkpoint${step === null ? "" : ` of step ${number(step)}`}: ${verdict || "not checked"}, ${clock(at)}`;

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
  for (const { verdict } of checkpoints) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  const listed = [...counts].map(([verdict, count]) => `${count} ${verdict || "not checked"}`);
  return `${checkpoints.length} checkpoint${checkpoints.length === 1 ? "" : "s"}: ${listed.join(", ")}`;
}
