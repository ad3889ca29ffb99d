"""Exit codes that say more than "something failed": of shells, and 128 + the number of a signal."""

from __future__ import annotations

_SEE_LOG = "see the end of its log"

#: Number: what it means, what to do. The signals' numbers are those of Linux.
EXIT_CODES: dict[int, tuple[str, str]] = {
    2: ("wrong usage: of a shell's command, or of the script's own options", _SEE_LOG),
    126: (
        "a file is not executable",
        "chmod +x it in the image, or start it with `bash FILE`",
    ),
    127: (
        "a command or file was not found",
        "check `command`, `working_dir`, the mounts and the image",
    ),
    130: ("SIGINT, an interrupt from the keyboard or a launcher", _SEE_LOG),
    132: (
        "SIGILL, an instruction that the processor does not know",
        "use a build for the nodes' processors",
    ),
    134: ("SIGABRT, it gave up by itself: a failed assertion or a library's error", _SEE_LOG),
    135: (
        "SIGBUS, mostly a full /dev/shm",
        "set `compute.large_shm`, or use fewer loader workers",
    ),
    137: (
        "SIGKILL, out of memory, or not gone when its grace period was over",
        "raise `compute.cpu_memory_limit`, or save faster after SIGTERM",
    ),
    139: ("SIGSEGV, a crash in native code", _SEE_LOG),
    143: (
        "SIGTERM, it was asked to end and did",
        "nothing, if the platform preempted it; else find out who asked",
    ),
}
