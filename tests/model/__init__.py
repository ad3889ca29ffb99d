"""
A small Kubernetes in memory, on a clock that tests move: store, watches, Job and JobSet controller, kubelet, KAI's decisions.

It is for histories that a real cluster is too slow for. What it does is what was seen of the real
one; the contract suite holds it against that, and `tests/model` tests it against the facts. It
shares nothing with the package. It is not Kubernetes: no Pod is checked, no default is filled in
that nobody reads, and only what an object's author may change can be patched.
"""
