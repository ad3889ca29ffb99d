/** The trials of a sweep, the best first: parameters, score, and what went wrong. */

import { Facts, h, Section, SOFT, Table } from "./elements.js";
import { number } from "./text.js";

/** So many rows are shown; a sweep has no more trials than `[core] max_map_length`, but XComs are data. */
const MOST = { rows: 200, trials: 5000, parameters: 20, text: 300 };
const HEADS = ["Rank", "Trial", "Parameters", "Score", "Problem"];
/** The column of a successive halving. */
const RUNG = 2;
const BAR = { height: 4, borderRadius: 2, background: "color-mix(in srgb, currentColor 45%, transparent)" };

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const text = (value) => (typeof value === "string" ? value.slice(0, MOST.text) : "");
const shown = (value) => (isNumber(value) ? number(value) : typeof value === "boolean" ? String(value) : text(value));
const place = ({ rank }) => (isNumber(rank) ? rank : Infinity);

/** Infinity minus itself is no number, so those without a rank stay in the order of the sweep. */
const byRank = (one, other) => place(one) - place(other) || 0;

function parameters(values) {
  const entries = isObject(values) ? Object.entries(values).slice(0, MOST.parameters) : [];
  return entries.map(([name, value]) => `${text(name)} ${shown(value)}`).join(", ");
}

/** A score, and a bar that is full for the best and empty for the worst. */
function Score({ score, best, worst, hasBar }) {
  const share = best === worst ? 1 : (score - worst) / (best - worst);
  const width = `${Math.round(100 * Math.min(Math.max(share, 0), 1))}%`;
  return h("div", { style: { minWidth: "6em", fontVariantNumeric: "tabular-nums" } }, number(score),
    hasBar ? h("div", { "aria-hidden": true, "data-bar": width, style: { ...BAR, width } }) : null);
}

/** Scores of different rungs are not compared, so only those of the best one's rung get a bar. */
function bounds(scored) {
  const peers = scored.filter(({ rung }) => rung === scored[0].rung);
  return [peers[0]?.score, peers.at(-1)?.score];
}

/** @param trials rows with `name, parameters, score, rank, problem`, and `rung` in a successive halving. */
export function Trials({ trials }) {
  const order = trials.slice(0, MOST.trials).filter(isObject).toSorted(byRank);
  const scored = order.filter(({ rank, score }) => isNumber(rank) && isNumber(score));
  const [best, worst] = bounds(scored);
  const hasRungs = order.some(({ rung }) => isNumber(rung));
  const withRung = (row, value) => (hasRungs ? row.toSpliced(RUNG, 0, value) : row);
  const rows = order.slice(0, MOST.rows).map((one) => withRung([
    isNumber(one.rank) ? one.rank : "none",
    text(one.name),
    parameters(one.parameters),
    isNumber(one.score) ? h(Score, { score: one.score, best, worst, hasBar: one.rung === scored[0]?.rung }) : "none",
    text(one.problem),
  ], isNumber(one.rung) ? one.rung : "none"));
  const facts = [["Best", text(scored[0]?.name)], ["Trials", order.length], ["With a score", scored.length]];
  const left = order.length - rows.length;
  return h(Section, { title: "Trials", part: "trials" }, h(Facts, { facts }),
    h(Table, { caption: "Trials of the sweep, the best first", heads: withRung(HEADS, "Rung"), rows }),
    left ? h("p", { style: { margin: 0, ...SOFT } }, `… and ${left} more, in this task's XCom.`) : null);
}
