"""
Who was champion, and when: one file for each promotion, in the folder ``POINTER.history``.

``champion.json.history/000017.json`` is written once and never changed. To write the next number is
to promote: a storage lets exactly one writer create it, so of two promotions at once one wins and
the other is told. The pointer is only a copy of the newest entry, for readers that know nothing of
the history. It is written second, so after a crash in between the history is right; whoever
promotes next, and the repeated task itself, bring the pointer up to date.

A pointer is written by whoever finds it behind, and is read again afterwards: a writer that was
held up may put an old one over a newer one, but not leave it there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from airflow_runai.checkpoints.keeping.champion import (
    number_of,
    read_champion,
    text_of,
    write_champion,
)
from airflow_runai.checkpoints.storage.exclusive import prove_exclusive
from airflow_runai.checkpoints.storage.small_files import FilePlace, SmallFile
from airflow_runai.errors import PromotionRefused

Champion = dict[str, Any]

#: Promotions that are remembered.
KEPT = 50
_ENTRY = re.compile(r"(\d{6,18})\.json")
# What a folder of ours holds, and much that somebody else may have put there.
_MAX_NAMES = 10_000


class ChampionHistory:
    """
    The champions of one pointer.

    Storage libraries raise what they like, so each method may raise more than it says.

    :param kept: promotions that are remembered, from 1.
    """

    def __init__(self, pointer: FilePlace, kept: int = KEPT) -> None:
        self.pointer, self.kept = SmallFile.of(pointer), kept
        self.folder = self.pointer.beside(f"{self.pointer.path.name}.history")

    def present(self) -> Champion | None:
        """
        Return the champion, or ``None`` if nothing was ever promoted.

        :raises ValueError: if the pointer or the newest entry is not one.
        """
        named, newest = read_champion(self.pointer), self._newest()
        if named is None or newest is None:
            return named or newest
        return newest if number_of(newest) > number_of(named) else named

    def entries(self) -> tuple[dict[int, Champion], list[str]]:
        """Return all champions by number, the newest last, and what is wrong with other entries."""
        found, problems = {}, []
        for number in self._numbers():
            try:
                # One that is missing was removed, as too old, after the listing.
                if entry := self._entry(number):
                    found[number] = entry
            except ValueError as error:
                problems.append(str(error))
        return found, problems

    def append(self, champion: Mapping[str, Any], after: Champion | None) -> Champion:
        """
        Make a champion of a checkpoint.

        :param after: the champion that it was compared with, from :meth:`present`.
        :return: what has been written: the same with a number.
        :raises PromotionRefused: if another one was promoted since; nothing is changed then.
        :raises NotExclusive: if the storage cannot tell which of two promotions is the first.
        """
        if not self.pointer.is_mounted:
            prove_exclusive(self.folder.within("exclusive").path)
        if after is not None:
            self._remember(after)
        document = {**champion, "number": 1 if after is None else number_of(after) + 1}
        try:
            self._file(document["number"]).create(text_of(document))
        except FileExistsError:
            raise self._overtaken() from None
        # The number may have been free because its entry was removed long ago.
        if self._numbers()[-1] >= document["number"] + self.kept:
            self._file(document["number"]).remove()
            raise self._overtaken()
        self.settle()
        self._forget_old()
        return document

    def settle(self) -> None:
        """Bring the pointer up to date, where a promotion could not."""
        newest = self._newest()
        while newest is not None and self._is_behind(newest):
            write_champion(self.pointer, newest)
            newest = self._newest()

    def _is_behind(self, newest: Champion) -> bool:
        named = read_champion(self.pointer)
        return named is None or number_of(named) < number_of(newest)

    def _newest(self) -> Champion | None:
        numbers = self._numbers()
        return self._entry(numbers[-1]) if numbers else None

    def _numbers(self) -> list[int]:
        matches = map(_ENTRY.fullmatch, self.folder.names(_MAX_NAMES))
        return sorted(int(match[1]) for match in matches if match)

    def _entry(self, number: int) -> Champion | None:
        file = self._file(number)
        entry = read_champion(file)
        if entry is not None and number_of(entry) != number:
            raise ValueError(f"{file}: has the number {number_of(entry)}; restore or remove it")
        return entry

    def _file(self, number: int) -> SmallFile:
        return self.folder.within(f"{number:06}.json")

    def _remember(self, champion: Champion) -> None:
        """Make an entry of a champion that has none: its pointer is older than its history."""
        number = number_of(champion)
        if number not in self._numbers():
            with suppress(FileExistsError):
                self._file(number).create(text_of({**champion, "number": number}))

    def _overtaken(self) -> PromotionRefused:
        present = self.present() or {}
        found = f"{self.pointer}: {present.get('uri')} was promoted at the same time"
        return PromotionRefused(
            f"{found} (number {number_of(present)}), so this promotion changed nothing; evaluate "
            "again, or clear this task to promote after it"
        )

    def _forget_old(self) -> None:
        # Whoever may not remove files can promote nevertheless.
        with suppress(Exception):
            numbers = self._numbers()
            for number in numbers:
                if number <= numbers[-1] - self.kept:
                    self._file(number).remove()
