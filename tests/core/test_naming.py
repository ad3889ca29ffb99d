from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_runai.core.naming import (
    MAX_NAME_LENGTH,
    TaskIdentity,
    base_name,
    check_slug,
    generation_name,
    generation_of,
)
from airflow_runai.errors import SpecError

DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
identities = st.builds(
    TaskIdentity, st.text(max_size=20), st.text(), st.text(), st.text(), st.integers(-1, 9999)
)


@pytest.mark.slow
@given(identities, st.integers(1, 9999))
def test_every_name_is_a_short_dns_label_and_tells_its_generation(
    who: TaskIdentity, generation: int
) -> None:
    base = base_name(who)
    name = generation_name(base, generation)
    assert len(name) <= MAX_NAME_LENGTH == 40
    assert DNS_1035.fullmatch(name)
    assert generation_of(who.digest(), name) == generation
    assert (
        generation_of(who.digest(), generation_name(base_name(who, "renamed"), generation))
        == generation
    )


@given(identities, identities)
def test_different_task_instances_have_different_names(
    one: TaskIdentity, two: TaskIdentity
) -> None:
    assume(one != two)
    assert base_name(one, "same") != base_name(two, "same")


def test_parts_that_only_differ_in_their_borders_are_told_apart() -> None:
    assert base_name(TaskIdentity("", "ab", "c", "t")) != base_name(
        TaskIdentity("", "a", "bc", "t")
    )
    assert base_name(TaskIdentity("", "d", "r", "t", 1)) != base_name(
        TaskIdentity("", "d", "r", "t1", -1)
    )


def test_a_name_never_changes_between_versions() -> None:
    who = TaskIdentity("default", "retrain", "scheduled__2026-01-01", "Train the.model", 3)
    assert base_name(who) == "train-the-model-65ae9cd50e"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a-0123456789-g1", 1),
        ("a-b-0123456789-g1", 1),
        ("a-0123456789-g120", 120),
        ("a-0123456789-g0", None),
        ("a-0123456789-g01", None),
        ("a-0123456789-g", None),
        ("a-0123456789-g-1", None),
        ("a-0123456789-g1x", None),
        ("a-0123456789-g1-copy", None),
        ("a-0123456789-g10000", None),
        ("a-0123456789-g\N{ARABIC-INDIC DIGIT ONE}", None),
        ("a-00123456789-g1", None),
        ("-0123456789-g1", None),
        ("a-0123456789", None),
    ],
)
def test_only_our_own_generations_are_recognized(name: str, expected: int | None) -> None:
    assert generation_of("0123456789", name) == expected


def test_a_digest_with_special_characters_is_taken_literally() -> None:
    assert generation_of("a.c", "x-abc-g1") is None


@pytest.mark.parametrize(
    "slug", ["", "Train", "1st", "a_b", "-a", "a-", "a.b", "ä", "a" * 24, "a b", "a\n"]
)
def test_a_slug_that_cannot_become_a_label_is_refused(slug: str) -> None:
    with pytest.raises(
        SpecError, match="cannot become a DNS label; allowed: lower-case letters"
    ) as caught:
        base_name(TaskIdentity("", "d", "r", "t"), slug)
    assert repr(slug) in str(caught.value)


@given(st.from_regex(DNS_1035, fullmatch=True).filter(lambda slug: len(slug) <= 23))
def test_a_good_slug_is_kept(slug: str) -> None:
    assert check_slug(slug) == slug
