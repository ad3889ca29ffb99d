"""
What happened to a training on Kubernetes, from what lists, watches and replies have shown.

Each sighting of an object becomes facts (``pod_facts.py``, ``job_facts.py``, ``queue_facts.py``)
that unite in any order. :class:`~airflow_runai.core.kubernetes.mirror.Mirror` keeps them and joins
them into one :class:`~airflow_runai.core.kubernetes.case.Case` for each training. From a case
follow its incarnations, the verdict and the phase; the history annotation keeps what the cluster
forgets.
"""
