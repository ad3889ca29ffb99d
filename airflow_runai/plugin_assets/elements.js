/** The few elements of which the tab is made, in the colours of Airflow's page. */

export const h = globalThis.React.createElement;

export const SOFT = { opacity: 0.75 };
const LINE = "1px solid color-mix(in srgb, currentColor 18%, transparent)";
const CELL = { textAlign: "left", verticalAlign: "top", padding: "4px 16px 4px 0", borderBottom: LINE };
const HIDDEN = { position: "absolute", width: 1, height: 1, overflow: "hidden", clipPath: "inset(50%)" };

/** A part of the page under a heading. */
export function Section({ title, part, children }) {
  return h("section", { "aria-label": title, "data-part": part, style: { display: "grid", gap: 8 } },
    h("h3", { style: { fontSize: "1em", fontWeight: 600, margin: 0 } }, title), children);
}

/** Names with values, side by side; what is undefined or empty is left out. */
export function Facts({ facts, part }) {
  const known = facts.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return h("dl", { "data-part": part, style: { display: "flex", flexWrap: "wrap", gap: "8px 32px", margin: 0 } },
    ...known.map(([name, value, key]) =>
      h("div", { key: name, "data-fact": key ?? name, style: { minWidth: 0 } },
        h("dt", { style: { fontSize: "0.85em", ...SOFT } }, name),
        h("dd", { style: { margin: 0, overflowWrap: "anywhere", fontVariantNumeric: "tabular-nums" } }, value))));
}

/** A table; its caption is for those who cannot see the heading above it. */
export function Table({ caption, heads, rows }) {
  const cell = (value, index) => h("td", { key: index, style: { ...CELL, overflowWrap: "anywhere" } }, value ?? "");
  return h("table", { style: { borderCollapse: "collapse", width: "100%" } },
    h("caption", { style: HIDDEN }, caption),
    h("thead", null, h("tr", null, ...heads.map((head) => h("th", { key: head, scope: "col", style: CELL }, head)))),
    h("tbody", null, ...rows.map((row, index) => h("tr", { key: index }, ...row.map(cell)))));
}
