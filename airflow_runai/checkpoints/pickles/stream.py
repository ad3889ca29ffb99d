"""Reads the bytes of a pickle from front to back; too few raise :class:`FormatError`."""

# ruff: noqa: D102 - the name says what a method takes
from __future__ import annotations

from typing import NoReturn

from airflow_runai.checkpoints.checking.format_error import FormatError, shown

# Python sets no limit to a dotted name.
_NAME_SIZE_LIMIT = 512
# Reading a number takes time that grows with the square of its digits.
_DECIMAL_LIMIT = 1000
_LINE_SIZE_LIMIT = 64 * 1024 * 1024


class Cut(FormatError):
    """The pickle goes on where the bytes end."""

    def __init__(self, at: int, what: str) -> None:
        super().__init__("pickle-malformed", f"pickle, byte {at}: {what}")


class PickleBytes:
    """A position in a pickle."""

    def __init__(self, data: bytes, begin: int) -> None:
        self.data = data
        self.at = begin

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise Cut(self.at, f"announces {size} bytes, {len(self.data) - self.at} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def signed(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little", signed=True)

    def line(self) -> str:
        return self.decoded(self.raw_line(_NAME_SIZE_LIMIT))

    def raw_line(self, limit: int = _LINE_SIZE_LIMIT) -> bytes:
        end = self.data.find(b"\n", self.at, self.at + limit)
        if end < 0:
            raise Cut(self.at, f"a line is not ended by a line feed within {limit} bytes")
        text = self.take(end - self.at)
        self.at += 1
        return text

    def decoded(self, text: bytes) -> str:
        try:
            return text.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            self.malformed("text is not UTF-8")

    def decimal(self, line: bytes) -> int:
        try:
            return int(line[:_DECIMAL_LIMIT])
        except ValueError:
            self.malformed(f"{shown(line[:40])} is no whole number")

    def fraction(self, line: bytes) -> float:
        try:
            return float(line[:_DECIMAL_LIMIT])
        except ValueError:
            self.malformed(f"{shown(line[:40])} is no number")

    def malformed(self, what: str) -> NoReturn:
        raise FormatError("pickle-malformed", f"pickle, byte {self.at}: {what}")
