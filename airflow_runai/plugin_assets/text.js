/** Numbers and times in words. */

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const BYTES = ["bytes", "kB", "MB", "GB", "TB"];

export function duration(seconds) {
  const whole = Math.round(seconds);
  const first = UNITS.findIndex(([size]) => whole >= size);
  if (first < 0) return seconds > 0 ? "under 1 s" : "0 s";
  const [size, unit] = UNITS[first];
  const [small, smallUnit] = UNITS[first + 1] ?? [size, ""];
  const rest = Math.floor((whole % size) / small);
  return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${smallUnit}` : ""}`;
}

export const times = (count) => (count === 1 ? "once" : count ? `${count} times` : "never");
export const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 6 });

export function bytes(count) {
  const power = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), BYTES.length - 1);
  return `${(count / 1000 ** power).toLocaleString("en", { maximumFractionDigits: 1 })} ${BYTES[power]}`;
}

// --- the time of day -------------------------------------------------------------------------------------------------

const SECONDS = {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
};
let known = null;

/** Name of the time zone of all times: that of Airflow's page. */
export const zone = () => current().name;
/** A time as Airflow writes it, `2026-01-31 23:59:59`. */
export const clock = (at) => current().format.format(at * 1000);

/** Airflow's UI keeps the chosen zone in the browser, as JSON; where none was chosen, it takes the browser's. */
function current() {
  const stored = readStored();
  if (known?.stored !== stored) known = { stored, ...formatOf(stored) };
  return known;
}

function readStored() {
  try { return localStorage.getItem("timezone"); } catch { return "unreadable"; }
}

function formatOf(stored) {
  try {
    const format = inZone(stored === null ? undefined : JSON.parse(stored));
    return { format, name: format.resolvedOptions().timeZone };
  } catch {
    return { format: inZone("UTC"), name: "UTC" };
  }
}

// Swedish dates are ISO dates.
const inZone = (timeZone) => new Intl.DateTimeFormat("sv-SE", { ...SECONDS, timeZone });
