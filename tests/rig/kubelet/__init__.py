"""
A stand-in for the kubelet: it runs the commands of one node's pods as local processes, and says so to the API server.

As small as its duties: statuses, events and logs as in the recordings, environment, volumes,
restarts, graces. It pulls no image, isolates nothing and limits nothing: no probes, no hooks, no
sidecars, no `exec`, no pod network. What an image would have brought (an entry point, a file
system) is not there, so a container needs a command, and the paths of its mounts are replaced in
command, arguments and environment by the folders that stand for them.

On disk, in the folder it is given: ``POD UID/containers/NAME/ATTEMPT/`` with the log and what is
known of the process (:mod:`.containers`), and ``POD UID/volumes/NAME/``. All state is there or in
the API server, so that a stand-in can be killed at any time; the containers run on, and the next
one adopts them.

Orders, for tests, by annotations of the pod (on a Job: of its template). Each attempt to start
reads them anew:

``rig.airflow-runai/image-error``
    any value: no image can be pulled, ErrImagePull and ImagePullBackOff in turn.
``rig.airflow-runai/never-start``
    any value: the containers stay in ContainerCreating.
``rig.airflow-runai/oom-after``
    seconds: each container is killed so long after its start, as the node does for its memory.
"""
