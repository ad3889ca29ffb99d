from __future__ import annotations

import pytest

from airflow_runai.core.jinja import is_templated


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
