"""
The provider's promises, attacked: thousands of random histories of the real code under virtual time.

Real are operator, trigger, hook, session, flows, drivers, kill code, listener and reaper. Faked are
the wire (httpx's transports lead to a control plane in memory), the clock, and what a task may ask
of Airflow. Blocking code runs in greenlets, so that it can die at each request and each sleep.
Rooms: ``history`` (what is given) · ``random_history`` and ``scenes`` (a seed's) · ``world`` and
``server`` (the platform: truth, and what it says) · ``wire`` · ``clock`` and ``process`` ·
``airflow``, ``worker``, ``triggerer``, ``api_server``, ``reaper`` and ``comms`` (the model of
Airflow) · ``people`` · ``story`` (what happened) · ``invariants``, ``justice`` and ``overdue``
(judges) · ``kubernetes`` (the same on a cluster) · ``shrinking`` and ``telling`` (for people) · ``campaign``.
"""
