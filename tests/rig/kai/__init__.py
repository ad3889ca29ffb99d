"""
A stand-in for KAI-Scheduler v0.13.0 on the rig: what it decides and what the API then shows, weaknesses included.

It groups pods, fills in the status of pod groups and queues, schedules, binds and evicts, and
writes KAI's events with client-go's budget. The decisions are those of
``airflow_runai.emulator.scheduler``. It is not KAI: no fractions (a pod that asks for one waits
without a word, as under the real one without reservation pods), no topology, no BindRequests, no
admission webhooks; CPU and memory are checked where a pod would be placed, but nobody is evicted
for them.

The folder has the form that ``RUNAI_RIG_KAI`` asks for, so that the real programs can take its
place: ``crds/`` and ``start``. Sources of its behaviour: the recordings of the real one, and the
facts that were measured with them.
"""
