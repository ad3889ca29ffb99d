"""
The checksums that an object store keeps: if a manifest holds the same one, nothing is downloaded.

S3 keeps what the uploader sent: CRC32 or CRC32C (SDKs since 2025 send one by default), and the MD5
as ETag if the object was uploaded in one part without KMS. A checksum of part checksums
(``COMPOSITE``, a dash in the ETag) is not one of the bytes and is not used. Google Cloud Storage
keeps CRC32C and MD5 in the object's metadata. Agreement proves the bytes; disagreement proves
nothing (an ETag may be anything), and the object is then read as any other.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from airflow_runai.checkpoints.storage.access import is_remote
from airflow_runai.checkpoints.storage.listing import FileEntry

# Requests take tens of milliseconds and no processor time.
_AT_ONCE = 8


def files_with_matching_checksum(
    files: Mapping[str, FileEntry], promised: Mapping[str, Mapping[str, str]]
) -> set[str]:
    """
    Return the files whose store keeps a checksum of the manifest; one request for each remote file.

    :param promised: by name, the checksums of a manifest: ``crc32``, ``crc32c`` or ``md5``, in
        lower-case hexadecimal.
    """
    paths = {name: files[name].path for name in promised if name in files}
    remote = {name: path for name, path in paths.items() if is_remote(path)}
    if not remote:
        return set()
    from concurrent.futures import ThreadPoolExecutor  # slows the start of a command

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="checkpoint-sums") as workers:
        kept = workers.map(_kept, remote.values())
        pairs = zip(remote, kept, strict=True)
        return {name for name, sums in pairs if sums.items() & promised[name].items()}


def _kept(path: Any) -> dict[str, str]:
    """Return the checksums that the store keeps of one object; none if the request fails."""
    # One name or several: ("s3", "s3a").
    protocol = path.fs.protocol
    names = [protocol] if isinstance(protocol, str) else protocol
    try:
        if "s3" in names:
            return _kept_by_s3(path)
        return _kept_by_google(path) if "gs" in names else {}
    except Exception:  # any error of a storage library: the object is read instead
        return {}


def _kept_by_s3(path: Any) -> dict[str, str]:
    bucket, key, _ = path.fs.split_path(path.path)
    head = path.fs.call_s3("head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    whole = head.get("ChecksumType") != "COMPOSITE"
    encoded = {"crc32": head.get("ChecksumCRC32"), "crc32c": head.get("ChecksumCRC32C")}
    sums = _hexadecimal(encoded) if whole else {}
    # The tag of an object in several parts is longer: its number of parts follows a dash.
    tag = str(head.get("ETag", "")).strip('"')
    if len(tag) == 32:
        sums["md5"] = tag
    return sums


def _kept_by_google(path: Any) -> dict[str, str]:
    info = path.fs.info(path.path)
    return _hexadecimal({"crc32c": info.get("crc32c"), "md5": info.get("md5Hash")})


def _hexadecimal(encoded: Mapping[str, str | None]) -> dict[str, str]:
    """Decode the sums that are there; a dash ends one that is made of the sums of parts."""
    sums = {name: sum_ for name, sum_ in encoded.items() if sum_ and "-" not in sum_}
    return {name: base64.b64decode(sum_).hex() for name, sum_ in sums.items()}
