"""YAML of templates: plain values with their lines, and nothing that constructs, multiplies or surprises."""

from __future__ import annotations

import json
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.core.templates import MAX_CHARACTERS, load_template
from airflow_runai.core.templates.text import documents, scalar
from airflow_runai.errors import SpecError


def problems(text: object) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        load_template(text, "a.yaml")  # type: ignore[arg-type]  # what is no text must be refused, too
    return caught.value.problems


BAD = {
    "a duplicate key": (
        "name: a\nspec:\n  image: x\n  image: y\n",
        "line 4: spec.image: stands twice, first in line 3",
    ),
    "a duplicate key in quotes": (
        "name: a\n'name': b",
        "line 2: name: stands twice, first in line 1",
    ),
    "a duplicate variable": (
        "name: a\nspec:\n environment: {A: secret1, A: secret2}",
        "line 3: spec.environment.A: stands twice, first in line 3",
    ),
    "a constructing tag": (
        "name: !!python/object/apply:os.system [id]",
        "line 1: the tag 'tag:yaml.org,2002:python/",
    ),
    "a tag of its own": ("name: a\nspec: !secret x", "line 2: the tag '!secret' would construct"),
    "a tag on a key": ("!!python/name:os.system a: 1", "line 1: the tag"),
    "a tag behind a directive": (
        "%TAG ! tag:evil,2020:\n---\nname: !x a",
        "line 3: the tag 'tag:evil,2020:x'",
    ),
    "a date object": ("name: !!timestamp 2020-01-01", "line 1: the tag"),
    "an alias": ("name: a\nspec: &x {image: y}\nother: *x", "line 3: the alias *x; write it out"),
    "a merge key": ("a: &x {b: 1}\nc:\n  <<: *x", "line 3: the alias *x"),
    "an alias bomb": (
        "a: &a [x,x,x]\n"
        + "\n".join(f"{chr(c + 1)}: &{chr(c + 1)} [*{chr(c)},*{chr(c)}]" for c in range(97, 120)),
        "line 2: the alias *a",
    ),
    "an alias of itself": ("a: &a [*a]", "line 1: the alias *a"),
    "a key that is a list": ("[a, b]: 1", "line 1: a key that is a list or mapping"),
    "deep nesting": ("[" * 60000, "line 1: nested more than 20 levels deep"),
    "deep mappings": ("a: " + "{a: " * 10000, "line 1: nested more than 20 levels deep"),
    "an open bracket": ("name: a\nspec: {image: x\n", "line 3: no valid YAML"),
    "a tab": ("name: a\nspec:\n\timage: x", "line 3: no valid YAML"),
    "a control character": ("name: \x00", "no valid YAML: special characters"),
    "half a character": ('name: "\\ud800"', "line 1: half a character (a lone surrogate)"),
    "a list": ("- name: a", "a.yaml: a list; allowed: a mapping of name, extends"),
    "a word": ("small", "a.yaml: a str; allowed: a mapping"),
    "nothing": ("", "a.yaml: empty; allowed: a template"),
    "comments only": ("# nothing\n---\n", "a.yaml: empty"),
    "two documents": ("name: a\n---\nname: b", "a.yaml: 2 YAML documents; allowed: one"),
    "too much": (
        "#" * (MAX_CHARACTERS + 1),
        f"a.yaml: {MAX_CHARACTERS + 1} characters; allowed: {MAX_CHARACTERS}",
    ),
    "bytes": (b"name: a", "a.yaml: a bytes; allowed: YAML as a text"),
}


@pytest.mark.parametrize(("text", "sentence"), BAD.values(), ids=BAD)
def test_bad_yaml_is_named_with_its_line(text: object, sentence: str) -> None:
    begin = time.process_time()
    (found,) = problems(text)
    assert sentence in found
    assert found.startswith("a.yaml")
    assert "secret1" not in found
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("010", 10),
        ("1.5", 1.5),
        ("1e-3", 0.001),
        ("true", True),
        ("False", False),
        ("", None),
        ("~", None),
        ("Null", None),
        ("yes", "yes"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("tRue", "tRue"),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        ("9" * 30, "9" * 30),
        ("500M", "500M"),
    ],
)
def test_plain_words_follow_the_core_schema(text: str, value: object) -> None:
    assert (type(scalar(text)), scalar(text)) == (type(value), value)


def test_variables_keep_their_very_text() -> None:
    text = "spec: {environment: {V: 1.10, W: yes, X: 010, Y: true, Z: }, labels: {r: 1e3}, backoff_limit: 2}"
    spec = documents(text, "a.yaml")[0].value["spec"]
    assert spec["environment"] == {"V": "1.10", "W": "yes", "X": "010", "Y": "true", "Z": None}
    assert (spec["labels"], spec["backoff_limit"]) == ({"r": "1e3"}, 2)


def test_quoted_and_tagged_texts_stay_texts() -> None:
    found = documents(
        "a: '1'\nb: \"true\"\nc: !!str 5\nd: |\n  x\n  y\ne: ! 7\nf: !!int 5", "a.yaml"
    )[0].value
    assert found == {"a": "1", "b": "true", "c": "5", "d": "x\ny\n", "e": "7", "f": 5}


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_what_json_writes_is_read_back(value: object) -> None:
    text = json.dumps({"a": value})
    assert documents(text, "a.yaml", as_text=lambda path: False)[0].value == {"a": value}


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@,? \n\t1~.<", max_size=60))
def test_any_text_is_read_as_pyyaml_shapes_it_or_refused(text: str) -> None:
    try:
        found = documents(text, "a.yaml")
    except SpecError as error:
        told = error.problems
    else:
        told = ()
        assert len(found) <= len(list(yaml.compose_all(text, Loader=yaml.SafeLoader)))
    assert [sentence for sentence in told if not sentence.startswith("a.yaml")] == []
