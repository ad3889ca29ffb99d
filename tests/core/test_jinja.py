from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jinja2.sandbox import SandboxedEnvironment

from airflow_runai.core.jinja import is_templated, literal


@pytest.mark.parametrize(
    ("text", "templated"),
    [
        ("{{ ds }}", True),
        ("s3://bucket/{{ ds }}/run", True),
        ("{% if params.big %}8{% endif %}", True),
        ("{# which image? #}nginx", True),
        ("", False),
        ("a plain text", False),
        ('{"learning_rate": 0.1}', False),
        ("{single} braces } }", False),
        ("$HOME/${RUN}", False),
        ("100%", False),
        ("}}", False),
    ],
)
def test_a_text_is_templated_if_airflow_will_still_render_it(text: str, templated: bool) -> None:
    assert is_templated(text) is templated


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("{{ ds }} {% raw %} {# #} \"'\\n\\")
@example("a\r\nb\n")
@example("\U0001f600\u2028{{")
def test_a_literal_renders_to_the_text(text: str) -> None:
    assert SandboxedEnvironment().from_string(literal(text)).render() == text


def test_a_text_that_jinja_leaves_alone_is_its_own_literal() -> None:
    assert literal('{"a": 1} lr=0.1') == '{"a": 1} lr=0.1'
