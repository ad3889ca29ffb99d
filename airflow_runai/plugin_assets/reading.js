/** Reads Airflow's REST API with the reader's own cookie, so it shows only what the reader may see. */

import { newsOf, workloadOf } from "./news.js";

const { useEffect, useState } = globalThis.React;

const REFRESH_SECONDS = 5;
const FINISHED = ["success", "failed", "skipped", "upstream_failed", "removed"];
/** Operators whose results are facts of checkpoints or trials; of any other task nothing more is read. */
const JUDGES = /checkpoint|evaluat|promot|champion|trial/i;
const REFUSED =
  "You may not read the XComs of this task (Airflow answered 403), and the history of its workload is kept there. " +
  "Ask an administrator for the right to read XComs of this DAG.";

/** The newest reading of a task instance, `null` before the first; repeated until the task has ended. */
export function useReading({ dagId, runId, taskId, mapIndex }) {
  const [reading, setReading] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const again = () => void (timer = setTimeout(look, REFRESH_SECONDS * 1000));
    const look = async () => {
      if (document.hidden) return again(); // a background tab sends no requests
      try {
        const next = await read({ dagId, runId, taskId, mapIndex }, stop.signal);
        setReading(next);
        if (!next.finished && !next.refused) again();
      } catch (error) {
        if (stop.signal.aborted) return;
        setReading((before) => ({ ...before, trouble: error.message }));
        again();
      }
    };
    setReading(null);
    look();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [dagId, runId, taskId, mapIndex]);
  return reading;
}

async function read({ dagId, runId, taskId, mapIndex }, signal) {
  const index = mapIndex === undefined || mapIndex === null || mapIndex === "" ? -1 : Number(mapIndex);
  const [dag, run, name] = [dagId, runId, taskId].map(encodeURIComponent);
  const instance = `api/v2/dags/${dag}/dagRuns/${run}/taskInstances/${name}`;
  const xcom = (key) => get(`${instance}/xcomEntries/${key}?map_index=${index}`, signal);
  const [task, workload, news] = await Promise.all(
    [get(index < 0 ? instance : `${instance}/${index}`, signal), xcom("runai_workload"), xcom("runai_timeline")]);
  const finished = FINISHED.includes(task?.state);
  const judges = finished && JUDGES.test(task.operator_name ?? task.operator ?? "");
  const result = judges ? await xcom("return_value") : null;
  const refused = [workload, news, result].includes(FORBIDDEN) ? REFUSED : "";
  return {
    finished, refused, failed: task?.state === "failed", readAt: Date.now() / 1000,
    workload: workloadOf(value(workload)), news: newsOf(value(news)), result: value(result),
  };
}

const FORBIDDEN = { value: null };

async function get(path, signal) {
  // Relative to <base>: Airflow may live under a sub-path.
  const answer = await fetch(new URL(path, document.baseURI), { signal, headers: { Accept: "application/json" } });
  if (answer.status === 404) return null;
  if (answer.status === 403) return FORBIDDEN;
  if (!answer.ok) throw new Error(`Airflow answered ${answer.status}`);
  return answer.json();
}

function value(entry) {
  if (typeof entry?.value !== "string") return entry?.value ?? null;
  try { return JSON.parse(entry.value); } catch { return null; }
}
