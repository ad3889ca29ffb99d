/** What a phase of Run:ai means; a test compares the table with `airflow_runai/core/phases.py`. */

export const MEANINGS = {
  Creating: "waiting",
  Pending: "waiting",
  Resuming: "waiting",
  Initializing: "starting",
  Running: "running",
  Degraded: "running",
  Updating: "running",
  Terminating: "leaving",
  Stopping: "suspended",
  Suspending: "suspended",
  Stopped: "suspended",
  Suspended: "suspended",
  Deleting: "deleting",
  Completed: "succeeded",
  Failed: "failed",
  Unknown: "unknown",
};

export const meaning = (moment) => (Object.hasOwn(MEANINGS, moment?.phase) ? MEANINGS[moment.phase] : "unknown");
export const isFinal = (moment) => ["succeeded", "failed"].includes(meaning(moment));
