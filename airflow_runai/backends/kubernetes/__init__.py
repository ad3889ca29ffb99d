"""
The Kubernetes API as flows: kinds and paths, lists and watches, writes, rights, logs.

As on the control plane, nothing here reads a clock or opens a socket.
"""
