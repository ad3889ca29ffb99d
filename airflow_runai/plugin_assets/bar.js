/** The timeline as a bar: stretches, beneath them the incarnations with their nodes, and the checkpoints. */

import { h, SOFT } from "./elements.js";
import { fill, KINDS, Patterns } from "./kinds.js";
import { Marks } from "./marks.js";
import { scaleOf, WIDTH } from "./scale.js";
import { clock, duration } from "./text.js";

const { useState } = globalThis.React;

const HEIGHT = 36;
const SMALL = { fontSize: "0.8em" };
const WORDS = { minHeight: "1.5em", margin: "8px 0", overflowWrap: "anywhere" };
const HINT = "Point at a part of the bar, or tab to it and use the arrow keys, to read the platform's messages.";
const percent = (x) => `${(100 * x) / WIDTH}%`;

const describe = (stretch) =>
  `${KINDS[stretch.kind].label} ${duration(stretch.until - stretch.since)}, from ${clock(stretch.since)}` +
  (stretch.messages.length ? `: ${stretch.messages.join("; ")}` : "");

export function Bar({ parts, bands, checkpoints }) {
  const [chosen, choose] = useState(null);
  const scale = scaleOf(parts);
  // Those of an earlier attempt would all lie on the first pixel.
  const marks = checkpoints.filter(({ at }) => at >= parts[0].since);
  const between = { display: "flex", justifyContent: "space-between", ...SMALL, ...SOFT };
  return h("div", null,
    h("div", { style: { position: "relative" } },
      h(Stretches, { parts, boxes: scale.boxes, chosen, choose }),
      scale.boxes[chosen] ? h(Frame, { box: scale.boxes[chosen] }) : null),
    h(Bands, { bands, scale }),
    marks.length ? h(Marks, { checkpoints: marks, scale }) : null,
    h("div", { style: between }, h("span", null, clock(parts[0].since)), h("span", null, clock(parts.at(-1).until))),
    h("p", { "data-part": "chosen", "aria-live": "polite", style: WORDS },
      parts[chosen] ? describe(parts[chosen]) : HINT),
    h(Legend, { kinds: Object.keys(KINDS).filter((kind) => parts.some((part) => part.kind === kind)) }));
}

/** One stop for the tab key; the arrow keys go on from there. */
function Stretches({ parts, boxes, chosen, choose }) {
  const stop = Math.min(chosen ?? 0, parts.length - 1);
  const rects = parts.map((part, index) =>
    h("rect",
      {
        key: index, ...boxes[index], height: HEIGHT, fill: fill(part.kind), "data-kind": part.kind,
        tabIndex: index === stop ? 0 : -1, role: "img", "aria-label": describe(part), style: { outline: "none" },
        onFocus: () => choose(index), onMouseEnter: () => choose(index),
      },
      h("title", null, describe(part))));
  const picture = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", width: "100%", height: HEIGHT };
  const onKeyDown = (event) => move(event, stop);
  return h("svg", { ...picture, role: "group", "aria-label": "Timeline", style: { display: "block" }, onKeyDown },
    h(Patterns), ...rects);
}

function move(event, from) {
  const rects = event.currentTarget.querySelectorAll("rect[data-kind]");
  const to = { ArrowRight: from + 1, ArrowLeft: from - 1, Home: 0, End: rects.length - 1 }[event.key];
  if (!rects[to]) return;
  event.preventDefault();
  rects[to].focus();
}

/** Around the chosen stretch and above its neighbours, so that nothing covers it. */
function Frame({ box }) {
  const place = { position: "absolute", top: 0, left: percent(box.x), width: percent(box.width), height: HEIGHT };
  const line = { outline: "2px solid currentColor", outlineOffset: 1, pointerEvents: "none" };
  return h("div", { "data-part": "frame", style: { ...place, ...line } });
}

const BANDS = { position: "relative", height: "1.5em", margin: "4px 0", padding: 0, listStyle: "none", ...SMALL };
const CLIPPED = { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap" };
const BAND = { ...CLIPPED, borderLeft: "1px solid", padding: "0 3px", boxSizing: "border-box" };

function Bands({ bands, scale }) {
  const band = ({ number, node, since, until }) => {
    const left = scale.place(since);
    const words = `Incarnation ${number}${node ? ` on ${node}` : ""}`;
    const place = { position: "absolute", left: percent(left), width: percent(scale.place(until) - left) };
    const title = `${words}, ${clock(since)} to ${clock(until)}`;
    return h("li", { key: number, title, "data-node": node, style: { ...BAND, ...place } },
      `${number}${node ? ` ${node}` : ""}`);
  };
  return h("ol", { "aria-label": "Incarnations", style: BANDS }, ...bands.map(band));
}

function Legend({ kinds }) {
  const sample = (kind) =>
    h("svg", { width: 16, height: 11, "aria-hidden": true, style: { display: "inline-block", marginRight: 6 } },
      h("rect", { width: 16, height: 11, rx: 2, fill: fill(kind) }));
  const style = { display: "flex", flexWrap: "wrap", gap: "4px 16px", fontSize: "0.85em", ...SOFT };
  return h("div", { "data-part": "legend", style },
    ...kinds.map((kind) => h("span", { key: kind }, sample(kind), KINDS[kind].label)));
}
