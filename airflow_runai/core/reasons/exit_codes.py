"""Exit codes that say more than "something failed": of shells, and 128 + the number of a signal."""

from __future__ import annotations

#: How a text names an exit code before its number. "exit 2 of 4" names none.
BEFORE_CODE = r"\b(?:(?:exit(?:ed)?|return)[ _-]?(?:with )?(?:code|status)[ :=(]+|exited \()"
#: Of an exit code that is 128 and a signal's number, or as Python says it, less than zero.
SIGNAL_CODE = r"(?:1(?:29|[3-8]\d|9[0-2])|-(?:[1-9]|[1-5]\d|6[0-4]))"
#: How a text names the number of a signal before it.
BEFORE_SIGNAL = r"\b(?:(?:by|with|on) signal |signal ?[:=] ?)"
#: Of Linux, by number from 1: a container's signals are Linux', wherever this code runs.
_SIGNALS = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP "
    "TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)
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
    124: ("the command `timeout` ended it", "raise the limit that `timeout` was given"),
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
    136: ("SIGFPE, wrong arithmetic in native code: mostly a division by zero", _SEE_LOG),
    137: (
        "SIGKILL, out of memory, or not gone when its grace period was over",
        "raise `compute.cpu_memory_limit`, or save faster after SIGTERM",
    ),
    139: ("SIGSEGV, a crash in native code", _SEE_LOG),
    141: ("SIGPIPE, it wrote to a program that had ended, as in `… | head`", _SEE_LOG),
    143: (
        "SIGTERM, it was asked to end and did",
        "nothing, if the platform preempted it; else find out who asked",
    ),
}


def signal_name(code: int) -> str:
    """Return the name of the signal that a number, or the exit code of a signal, stands for."""
    number = code - 128 if code > 128 else abs(code)
    names = _SIGNALS.split()
    return f"SIG{names[number - 1]}" if number <= len(names) else f"signal {number}"


def pattern(number: int) -> str:
    """Return how a text shows that a command has ended with an exit code of the table."""
    if number < 128:
        return rf"{BEFORE_CODE}{number}\b"
    ended = rf"{BEFORE_CODE}(?:{number}|{128 - number})"
    return rf"(?:{ended}|{BEFORE_SIGNAL}{number - 128})\b"
