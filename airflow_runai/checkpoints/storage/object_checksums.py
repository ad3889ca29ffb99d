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

_AT_ONCE = 8


def files_with_matching_checksum(
    files: Mapping[str, FileEntry], promised: Mapping[str, Mapping[str, str]]
) -> set[str]:
    """
    Return the files whose store keeps a checksum of the manifest; one request for each remote file.

    :param promised: by name, the checksums of a manifest: ``crc32``, ``crc32c`` or ``md5``, in
        lower-case hexadecimal.
    """
    remote = [name for name in promised if name in files and is_remote(files[name].path)]
    if not remote:
        return set()
    from concurrent.futures import ThreadPoolExecutor  # slows the start of a command

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="checkpoint-sums") as workers:
        kept = workers.map(lambda name: _kept(files[name].path), remote)
        pairs = zip(remote, kept, strict=True)
        return {name for name, sums in pairs if sums.items() & promised[name].items()}


def _kept(path: Any) -> dict[str, str]:
    """Return the checksums that the store keeps of one object; none if the request fails."""
    protocols = path.fs.protocol
    protocols = {protocols} if isinstance(protocols, str) else set(protocols)
    try:
        if "s3" in protocols:
            return _kept_by_s3(path)
        return _kept_by_google(path) if "gs" in protocols else {}
    except Exception:  # any error of a storage library: the object is read instead
        return {}


def _kept_by_s3(path: Any) -> dict[str, str]:
    bucket, key, _ = path.fs.split_path(path.path)
    head = path.fs.call_s3("head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    whole = head.get("ChecksumType") != "COMPOSITE"
    encoded = {"crc32": head.get("ChecksumCRC32"), "crc32c": head.get("ChecksumCRC32C")}
    sums = {
        kind: _hexadecimal(value)
        for kind, value in encoded.items()
        if whole and value and "-" not in value
    }
    tag = str(head.get("ETag", "")).strip('"')
    return {**sums, "md5": tag} if len(tag) == 32 else sums


def _kept_by_google(path: Any) -> dict[str, str]:
    known = path.fs.info(path.path)
    encoded = {"crc32c": known.get("crc32c"), "md5": known.get("md5Hash")}
    return {kind: _hexadecimal(value) for kind, value in encoded.items() if value}


def _hexadecimal(encoded: str) -> str:
    return base64.b64decode(encoded).hex()
