"""What could be a secret is hidden in a log and in what the platform says; the rest can be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.backends import control_plane
from airflow_runai.core.mask import clean, hidden, values
from airflow_runai.core.texts import TEXT_LIMIT
from airflow_runai.core.workload import Workload
from tests.backends.rest import reply
from tests.core.stage import NOON, Hand

AWS = "/wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "12345678"),
        ("DB_PASSWORD", "20240131"),
        ("DB_PASSWORD", "a1b2"),
        ("MYCORP_PASSWORD_2", "hunter2"),
        ("DBPASSWORD", "hunter2"),
        ("dbPass", "hunter2"),
        ("MY_PASS", "hunter2hunter2"),
        ("MYSQL_PWD", "hunter2"),
        ("TEAM_CREDENTIAL", "hunter2"),
        ("PASSWORD", "./x9Kq8a7Z"),
        ("PASSWORD", "-P@$$w0rd"),
        ("AWS_SECRET_ACCESS_KEY", AWS),
        ("AWS_SECRET_ACCESS_KEY", "/wJalrXUtn/FEMIK7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("API_KEY", "~abcdEFGH1234"),
        ("TEAM_KEY", "abcd1234"),
        ("X", "hf_abcdefghijklmnop"),
        ("SLACK", "https://hooks.slack.com/services/T0A1/B0C2/d3E4f5G6"),
        ("DISCORD", "https://discord.com/api/webhooks/12345/abcDEF-123456"),
    ],
)
def test_a_variable_s_secret_is_masked(name: str, value: str) -> None:
    assert values([(name, value)]) == (value,)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("DB_PASSWORD", word)
            for word in ("true", "1", "1234", "test", "Postgres", "default", "abc")
        ),
        ("TOKENIZER", "bert-base-uncased"),
        ("MAX_TOKENS", "16777216"),
        ("PAD_TOKEN", "[PAD]"),
        ("HF_TOKEN", "$HF_TOKEN"),
        ("HF_TOKEN", "{{ conn.hf.password }}"),
        ("HF_TOKEN", "<token>"),
        ("HF_TOKEN", "/run/secrets/hf-token"),
        ("HF_TOKEN", "~/.cache/huggingface/token"),
        ("SSH_PRIVATE_KEY", "/keys/id_rsa"),
        ("GOOGLE_CREDENTIALS", "gcp.json"),
        ("AUTH_URL", "https://auth.example/token"),
        ("PWD", "/workspace"),
        ("AUTHOR", "somebody-else"),
        ("DATABASE_URL", "postgres://u@h/db"),
        ("DATABASE_URL", "postgres://h:5432"),
        ("EPOCHS", "100000"),
    ],
)
def test_a_log_stays_readable(name: str, value: str) -> None:
    assert values([(name, value)]) == ()


def test_of_an_address_the_password_alone_is_masked_too() -> None:
    url = "postgres://u:hun%2Fter2@h/db"
    assert values([("DATABASE_URL", url)]) == (url, "hun%2Fter2", "hun/ter2")
    assert values([("ARGS", "--lr 1 --password hunter2")]) == ("hunter2",)
    assert values([("CONFIG", '{"db": {"password": "hun ter2"}}')]) == ("hun ter2",)
    # The whole address is no word, but the password would be.
    assert values([("DB", "postgres://postgres:postgres@h")]) == ("postgres://postgres:postgres@h",)


def test_a_key_is_masked_by_lines() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nabcd\nxy\n-----END PRIVATE KEY-----\n"
    assert "abcd" in values([("SSH_KEY", key)])
    assert "xy" not in values([("SSH_KEY", key)])


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("cannot pull https://user:s3cr3tpw@reg.io/x", "cannot pull https://user:***@reg.io/x"),
        ("redis://:p@ss@h/0 is down", "redis://:***@h/0 is down"),
        ("cannot pull https://user:s3cr3tpw@reg.io", "cannot pull https://user:***@reg.io"),
        ("cannot pull https://user:s3cr…", "cannot pull https://user:***"),
        ("https://h/x?access_token=abc&y=1", "https://h/x?access_token=***&y=1"),
        ("wandb login hf_abcdefghijklmnop now", "wandb login *** now"),
        ('exec: "t.py --db-password hunter2": no', 'exec: "t.py --db-password ***": no'),
        ('exec: "t.py --token=hunter2": no', 'exec: "t.py --token=***": no'),
        ('exec: "t.py --token \\"hun ter\\"": no', 'exec: "t.py --token \\"***\\"": no'),
        ('["--password", "hun ter2", "x"]', '["--password", "***", "x"]'),
        ("--config password=hunter2 -x", "--config password=*** -x"),
        ("--token --password hunter2", "--token --password ***"),
        ("env WANDB_API_KEY=abc t.py", "env WANDB_API_KEY=*** t.py"),
        ("t.py --password 1234 --tokens 12", "t.py --password *** --tokens 12"),
        ("curl -u me:hunter2 h", "curl -u me:*** h"),
        ("-H 'Authorization: Bearer abc' u", "-H 'Authorization: Bearer *** u"),
        ("-----BEGIN RSA PRIVATE KEY----- abc", "***"),
    ],
)
def test_a_secret_in_a_text_of_the_platform_is_hidden(said: str, shown: str) -> None:
    assert clean(said) == shown
    assert hidden(shown) == shown


@pytest.mark.parametrize(
    "said",
    [
        "invalid token: expired",
        "references non-existent secret key: token",
        "pull access denied: authorization failed, the secret is missing",
        "dial tcp 10.0.0.1:4030: i/o timeout",
        "proxy http://proxy:3128",
        "0/3 nodes are available: 1 node(s) had untolerated taint {team-a/key: value}",
        'exec: "t.py --tokenizer gpt2 --max-tokens 4096 --token-file /run/secrets/hf": no',
        "exec: \"t.py --token $HF_TOKEN --lr=1 --pad-token '<pad>'\": no",
        "Preempted by team-b, user me@example.com",
    ],
)
def test_what_only_sounds_like_one_is_shown(said: str) -> None:
    assert clean(said) == said


@given(st.text(max_size=300), st.integers(1, 300))
def test_a_password_in_an_address_never_travels(around: str, limit: int) -> None:
    shown = clean(f"{around} https://ci:hunter2hunter2@git.example/a {around}", limit)
    assert "hunt" not in shown
    assert len(shown) <= limit
    assert shown.isprintable()


def test_a_message_is_clean_when_it_is_read() -> None:
    said = "x" * (TEXT_LIMIT - 30) + " https://user:s3cr3tpw@reg.io/x"
    read = Workload.from_wire({"id": "1", "phase": "Failed", "phaseMessage": said})
    assert "https://user:***" in read.message
    update = {"phaseUpdate": {"phase": "Failed", "phaseMessage": said}}
    records = [{"meta": {"creationTimestamp": NOON}, "spec": update}]
    (moment,) = Hand(lambda _: reply({"records": records})).run(control_plane.history("w-1"))
    assert moment.message == read.message


@pytest.mark.parametrize("piece", ["a", "a=", "://a:", "--token ", "://", 'x" ', "Authorization:"])
def test_a_long_text_takes_time_in_proportion(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    assert len(clean(text)) <= TEXT_LIMIT
    values([("X", text), ("API_KEY", text)])
