"""
How to talk to Run:ai.

Conversations are flows (``core/flow.py``); ``drivers.py`` is the only file that sends or sleeps,
``clients.py`` the only one that configures a connection. Today there is one backend, the control
plane's REST API.
"""
