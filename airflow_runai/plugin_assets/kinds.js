/** The kinds of stretches: word, colour and pattern, for readers who cannot tell the colours apart. */

import { h } from "./elements.js";

export const KINDS = {
  queue: { label: "queued", color: "#c9a227" },
  running: { label: "running", color: "#2e9e5b" },
  preempted: { label: "preempted", color: "#d9480f", line: "M0 0H8", turn: 45 },
  evicted: { label: "evicted", color: "#c2578f", line: "M0 0H8", turn: -45 },
  suspended: { label: "suspended", color: "#4c78c9", line: "M0 0H8", turn: 0 },
  crashed: { label: "crashed", color: "#b3202c", line: "M0 0H8M0 0V8", turn: 45 },
  interrupted: { label: "interrupted", color: "#8a93a3" },
  failed: { label: "failed", color: "#7d2233", line: "M0 0H8M0 0V8", turn: 0 },
  deleted: { label: "deleted", color: "#3f4652", line: "M0 0H8", turn: 90 },
};

const TILE = { width: 8, height: 8, patternUnits: "userSpaceOnUse" };

export const fill = (kind) => (KINDS[kind].line ? `url(#runai-${kind})` : KINDS[kind].color);

export function Patterns() {
  const pattern = ([kind, { color, line, turn }]) =>
    h("pattern", { ...TILE, key: kind, id: `runai-${kind}`, patternTransform: `rotate(${turn})` },
      h("rect", { width: 8, height: 8, fill: color }),
      h("path", { d: line, stroke: "#ffffff", strokeOpacity: 0.75, strokeWidth: 4 }));
  return h("defs", null, ...Object.entries(KINDS).filter(([, { line }]) => line).map(pattern));
}
