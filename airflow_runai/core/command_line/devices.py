"""GPUs on a command line: whole ones, shares, slices."""

from __future__ import annotations

from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.values import size

_MIG_PROFILES = ("1g.5gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb")


def gpus(draft: Draft, value: str) -> None:
    """Read ``--gpu`` of CLI v1: devices if the number is whole, else a share of one."""
    try:
        count = float(value)
    except ValueError:
        raise ValueError(
            f"{value!r}; allowed: a whole number of GPUs, or a share of one between 0 and 1"
        ) from None
    # 1.0 is a whole device, too: a share is less than one.
    if count.is_integer():
        draft.put("compute.gpu_devices", int(count))
    else:
        draft.put("compute.gpu_portion", count)


def mig_profile(draft: Draft, value: str) -> None:
    """Request a slice of a GPU; the present API knows slices as extended resources only."""
    if value not in _MIG_PROFILES:
        raise ValueError(f"{value!r}; allowed: {', '.join(_MIG_PROFILES)}")
    draft.name("compute.extended_resources", f"nvidia.com/mig-{value}", "1")
    draft.warn(
        "sent as an extended resource; "
        "a control plane before 2.24 wants raw.compute.migProfile instead"
    )


def at_least_100_megabytes(value: str) -> None:
    """Refuse GPU memory that CLI v1 refuses."""
    if size(value) < 100e6:
        raise ValueError(f"{value!r} is less than the command line accepts; allowed: 100M or more")
