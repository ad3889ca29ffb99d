/**
 * The tab "Run:ai" on a task instance: what its workload did while Airflow waited.
 *
 * Written by hand against the React that Airflow's UI puts on `globalThis`, so there is nothing to build, and there is
 * no endpoint of ours. The UI imports this file and takes the component from `globalThis["Run:ai"]`; the files that it
 * imports lie beside it, under an address with the version in it.
 */

import { Bar } from "./bar.js";
import { causes } from "./causes.js";
import { h, SOFT } from "./elements.js";
import { evidenceOf } from "./evidence.js";
import { Clocks, Log, Moments, Progress, Reasons, Usage } from "./facts.js";
import { lives } from "./incarnations.js";
import { useReading } from "./reading.js";
import { goOn, stretches } from "./stretches.js";
import { times } from "./text.js";

const { useEffect, useState } = globalThis.React;

function Title({ workload, news }) {
  const link = { href: workload.url, target: "_blank", rel: "noreferrer", style: { textDecoration: "underline" } };
  const name = workload.name || "Workload";
  return h("div", { style: { display: "flex", flexWrap: "wrap", gap: "4px 24px", alignItems: "baseline" } },
    h("h2", { style: { fontSize: "1.2em", fontWeight: 600, margin: 0, overflowWrap: "anywhere" } },
      workload.url ? h("a", link, `${name} ↗`) : name),
    news ? h("strong", { "data-part": "phase" }, news.phase) : null,
    workload.project ? h("span", { style: SOFT }, `project ${workload.project}`) : null,
    news ? h("span", { "data-part": "story", style: SOFT }, story(news)) : null);
}

function story({ timeline, clocks }) {
  if (!clocks.interruptions) return "never interrupted";
  const { interrupted, ...named } = causes(stretches(timeline, timeline.at(-1).at), clocks);
  const counts = Object.entries({ preempted: clocks.preemptions, ...named }).filter(([, count]) => count);
  const told = [["interrupted", clocks.interruptions], ...counts];
  return told.map(([word, count]) => `${word} ${times(count)}`).join(", ");
}

function Account({ reading }) {
  const { news, finished, readAt } = reading;
  if (!news)
    return h("p", null, finished
      ? "This task did not wait for the workload, so there is no history to show."
      : "The history appears after the first look at the workload.");
  const { timeline, clocks, reasons, progress, usage, log, guaranteedUntil } = news;
  // Once the task is finished, nothing watches the workload: the clocks stop where they were last read.
  const now = finished ? timeline[0].at + clocks.total : readAt;
  const parts = stretches(timeline, now);
  return h("div", { style: { display: "grid", gap: 20, minWidth: 0 } },
    reasons.length ? h(Reasons, { reasons }) : null,
    parts.length ? h(Bar, { parts, bands: lives(parts, news), checkpoints: progress?.checkpoints ?? [] }) : null,
    h(Clocks, { clocks: goOn(clocks, timeline, now), guaranteed: guaranteedUntil > now ? guaranteedUntil : null }),
    progress ? h(Progress, { progress }) : null,
    usage ? h(Usage, { usage }) : null,
    log ? h(Log, { log }) : null,
    h(Moments, { timeline }));
}

function nothing({ finished, failed }) {
  if (failed) return "This task has submitted nothing to Run:ai; its log says why it failed.";
  return finished
    ? "This task has submitted nothing to Run:ai, so there is nothing to show."
    : "This task has submitted nothing to Run:ai (yet). Once it does, its workload's timeline appears here.";
}

function content(reading) {
  const { workload, news, result, trouble, refused } = reading;
  if (refused) return h("p", { role: "status" }, refused);
  const Evidence = evidenceOf(result);
  if (!workload && !news && !Evidence) return trouble ? null : h("p", null, nothing(reading));
  return h("div", { style: { display: "grid", gap: 20, minWidth: 0 } },
    Evidence ? h(Evidence, { result }) : null,
    workload || news ? h(Title, { workload: workload ?? {}, news }) : null,
    workload || news ? h(Account, { reading }) : null);
}

/** Draw again when someone chooses another time zone in Airflow's page. */
function useZone() {
  const [, drawn] = useState(0);
  useEffect(() => {
    const again = () => drawn((count) => count + 1);
    globalThis.addEventListener("local-storage", again);
    return () => globalThis.removeEventListener("local-storage", again);
  }, []);
}

function RunaiTab(props) {
  useZone();
  const reading = useReading(props);
  if (!reading) return h("p", { style: { padding: 16 } }, "Looking …");
  const { trouble } = reading;
  return h("section", { "aria-label": "Run:ai workload", style: { padding: 16, display: "grid", gap: 20 } },
    trouble ? h("p", { role: "status" }, `This may be outdated: ${trouble}. Trying again.`) : null,
    content(reading));
}

globalThis["Run:ai"] = RunaiTab;
