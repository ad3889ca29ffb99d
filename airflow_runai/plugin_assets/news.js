/**
 * What a task has published, made sound: XComs are data that any task may write.
 *
 * What is not of the expected shape is left out, and nothing is longer than a page can show.
 */

/** Of a longer timeline the `first` moments and the newest are published. */
export const LIMITS = { moments: 200, first: 20, marks: 1000, sentences: 10, sentence: 1000, lines: 20, log: 4096 };
const LATEST = 8.64e12; // seconds; JavaScript knows no later time
const CLOCKS = ["queue", "running", "interrupted_total", "interruption", "total", "interruptions", "preemptions"];
const USAGE = [
  "gpus", "allocated", "useful", "lost", "waiting", "starting", "running_seconds", "idle_share", "checkpoint_interval",
];

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const isTime = (value) => isNumber(value) && Math.abs(value) < LATEST;
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const list = (value) => (Array.isArray(value) ? value : []);
const text = (value) => (typeof value === "string" ? value.slice(0, LIMITS.sentence) : "");
const only = (check, names, from) =>
  Object.fromEntries(names.filter((name) => check(from[name])).map((name) => [name, from[name]]));
const numbers = (names, from) => only(isNumber, names, from);
const times = (names, from) => only(isTime, names, from);

/** Read the XCom `runai_timeline`; null if there is no timeline in it. */
export function newsOf(value) {
  if (!isObject(value)) return null;
  const timeline = list(value.timeline).filter((one) => isTime(one?.at)).slice(-LIMITS.moments)
    .map(({ at, phase, message }) => ({ at, phase: text(phase), message: text(message) }));
  if (!timeline.length) return null;
  return {
    timeline,
    phase: text(value.phase) || timeline.at(-1).phase,
    clocks: { ...Object.fromEntries(CLOCKS.map((name) => [name, 0])), ...numbers(CLOCKS, value.clocks ?? {}) },
    incarnations: list(value.incarnations).filter((one) => isTime(one?.since)).slice(-LIMITS.moments)
      .map((one) => ({ ...times(["since", "until"], one), node: text(one.node) })),
    progress: isObject(value.progress) ? orNull(progressOf(value.progress)) : null,
    usage: isObject(value.usage) ? orNull(numbers(USAGE, value.usage)) : null,
    guaranteedUntil: isTime(value.guaranteed_until) ? value.guaranteed_until : null,
    reasons: list(value.reasons).map(text).filter(Boolean).slice(0, LIMITS.sentences),
    log: logOf(value.log_tail),
  };
}

const orNull = (facts) => (Object.values(facts).some((one) => one !== "" && one.length !== 0) ? facts : null);

/** Read the XCom `runai_workload`; a link only where it leads to a web page. */
export function workloadOf(value) {
  if (!isObject(value)) return null;
  const url = text(value.url);
  return { name: text(value.name), project: text(value.project), url: /^https?:/.test(url) ? url : "" };
}

function progressOf(value) {
  const numberOr = (other, given) => (isNumber(given) ? given : other);
  const mark = ({ at, step, verdict, level }) =>
    ({ at, step: numberOr(null, step), verdict: text(verdict), level: numberOr(3, level) });
  return {
    ...numbers(["step", "target", "per_hour"], value),
    ...times(["finish", "finish_with_waits"], value),
    // A storage that tells no times tells 0.
    checkpoints: list(value.checkpoints).filter((one) => isTime(one?.at) && one.at > 0).slice(-LIMITS.marks).map(mark),
  };
}

/** The newest lines, as many as fit. */
function logOf(value) {
  const lines = list(value).filter((line) => typeof line === "string").slice(-LIMITS.lines);
  return lines.join("\n").slice(-LIMITS.log);
}
