"""Secrets in a line: refused where there is a place for them, warned of elsewhere, never repeated, never imagined."""

from __future__ import annotations

import shlex

import pytest

from airflow_runai.core.command_line import parse_command
from airflow_runai.core.secrets import SENSITIVE, in_words, masked
from airflow_runai.core.templates import load_template
from airflow_runai.errors import SpecError

HUSH = "hush4hush"
HF, GITHUB, GITLAB = (
    "hf_abcdefghijklmnopqrst",
    "ghp_abcdefghijklmnop1234",
    "glpat-abcdefghijklmnopqr",
)
OPENAI, AWS, SLACK = (
    "sk-proj-abcdefghijklmnopqrstuvwx",
    "AKIAABCDEFGHIJKLMNOP",
    "xoxb-123456789012-abcdefghij",
)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcdefghij"
V1, V2 = "runai submit a -i x ", "runai training submit a -i x "


@pytest.mark.parametrize(
    "line",
    [
        V1 + f"--git-sync source=https://u:{HUSH}@github.com/a/b.git",
        V1 + f"--git-sync source=https://{GITHUB}@github.com/a/b.git,branch=dev",
        V1 + f"--git-sync source=https://oauth2:{GITLAB}@gitlab.com/a/b.git",
        V1 + f"--git-sync 'source=https://git/a/b.git?private_token={HUSH}'",
        V1 + f"--s3 bucket=b,target=/s,url=https://key:{HUSH}@s3.example",
        V2 + f"--git-sync repository=https://u:{HUSH}@github.com/a/b.git,path=/code",
        V2 + f"--git-sync repository=ssh://git:{HUSH}@host/a.git,path=/code",
        V2 + f"--git-sync repository=https://{GITHUB}:x-oauth-basic@github.com/a/b.git,path=/code",
        V2 + f"--s3 bucket=b,path=/s,url=http://minio:{HUSH}@minio:9000",
        "runai submit-mpi a -i x --git-sync source=https://u:" + HUSH + "@github.com/a/b.git",
        V1 + f"--template t --git-sync source=https://u:{HUSH}@github.com/a/b.git",
    ],
)
def test_addresses_with_a_password_are_refused(line: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_command(line)
    told = "\n".join(caught.value.problems)
    assert "an address with a password or token in it (not shown)" in told
    assert not any(secret in told for secret in (HUSH, GITHUB, GITLAB))


def test_a_configmap_s_repository_is_held_to_the_same() -> None:
    values = f"image: {{value: x}}\\ngit-sync: {{source: {{value: 'https://u:{HUSH}@h/r'}}}}"
    with pytest.raises(SpecError) as caught:
        load_template(f'kind: ConfigMap\ndata: {{name: a, values: "{values}"}}', "cm.yaml")
    assert "password or token" in str(caught.value)
    assert HUSH not in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        "--git-sync source=https://github.com/a/b.git",
        "--git-sync source=git@github.com:a/b.git",
        "--git-sync source=ssh://git@github.com/a/b.git",
        "--git-sync source=https://me@github.com/a/b.git",
        "--git-sync 'source=https://${USER}:${TOKEN}@github.com/a/b.git'",
        "--git-sync 'source=https://u:{{ conn.git.password }}@github.com/a/b.git'",
        "--git-sync source=https://github.com/a/b@v1.git",
        "--s3 bucket=b,target=/s,url=https://s3.example:9000/x@y",
    ],
)
def test_addresses_without_one_are_not(words: str) -> None:
    assert not any("not shown" in warning for warning in parse_command(V1 + words).warnings)


@pytest.mark.parametrize(
    ("value", "warned"),
    [
        (f"DB=postgres://u:{HUSH}@h/db", True),
        (f"CACHE=redis://:{HUSH}@h:6379/0", True),
        (f"HTTP_PROXY=http://me:{HUSH}@proxy:3128", True),
        (f"URI=mongodb+srv://u:{HUSH}@h/db?retryWrites=true", True),
        (f"MODEL=https://host/m.bin?X-Amz-Signature={HUSH}", True),
        (f"X={HF}", True),
        (f"X={OPENAI}", True),
        (f"X={AWS}", True),
        (f"X={JWT}", True),
        ("X=-----BEGIN RSA PRIVATE KEY-----", True),
        ("DB=postgres://u@h/db", False),
        ("DB=postgres://h:5432/db", False),
        ("HTTP_PROXY=http://proxy:3128", False),
        ("DB=postgres://u:$PASSWORD@h/db", False),
        ("DB=postgres://u:{{ var.value.p }}@h/db", False),
        ("DB=postgres://user:<password>@h/db", False),
        ("MODEL=https://host/m.bin?revision=main", False),
        ("EMAIL=me@example.com", False),
        ("S3=s3://bucket/a:b@c", False),
        ("PAD_TOKEN=[PAD]", False),
        ("EPOCHS=30", False),
        ("TASK=risk-assessment-of-something-long", False),
        ("DIR=/disk-00000000000000000000000000", False),
    ],
)
@pytest.mark.parametrize("head", [V1, V2])
def test_variables_that_carry_one_are_warned_of(head: str, value: str, warned: bool) -> None:
    found = parse_command([*head.split(), "-e", value]).warnings
    assert any("-e" in warning and "(not shown)" in warning for warning in found) is warned
    assert not any(secret in str(found) for secret in (HUSH, HF, OPENAI, AWS, JWT))


SAYS = [
    ("./s.sh --token hf_secret123", "--token"),
    ("./s.sh --token=hf_secret123", "--token="),
    ("python t.py --hf-token abc123def", "--hf-token"),
    ("python t.py --hub_token abc123def", "--hub_token"),
    ("python t.py --wandb-api-key 0123456789abcdef", "--wandb-api-key"),
    ("python t.py --api_key=0123456789abcdef", "--api_key="),
    ("python t.py --password hunter2", "--password"),
    ("python t.py --db-password hunter2", "--db-password"),
    ("python t.py --passwd hunter2", "--passwd"),
    ("python t.py --aws-secret-access-key abcDEF123", "--aws-secret-access-key"),
    ("python t.py --secret-key abcDEF123", "--secret-key"),
    ("python t.py --access-token abcDEF123", "--access-token"),
    ("python t.py --auth-token abcDEF123", "--auth-token"),
    ("python t.py --client-secret abcDEF123", "--client-secret"),
    ("python t.py wandb.api_key=0123456789abcdef", "wandb.api_key="),
    ("env WANDB_API_KEY=0123456789abcdef python t.py", "WANDB_API_KEY="),
    ("env DB_PASSWORD=hunter2 python t.py", "DB_PASSWORD="),
    (f"wandb login {HF}", "word 3"),
    (f"python t.py --db postgres://u:{HUSH}@h/db", "word 4"),
    (f"python t.py --db=postgres://u:{HUSH}@h/db", "--db="),
    (f"git clone https://{GITHUB}@github.com/a/b", "word 3"),
    (f"curl -H 'Authorization: Bearer {HUSH}' u", "a header"),
    (f"bash -c 'wandb login {GITLAB} && python t.py'", "word 3"),
    (f"notify {SLACK}", "word 2"),
    ("bash -c 'cd /code && python t.py --token abc1defg2'", "--token"),
    (f"bash -c 'export HF_TOKEN={HF}; python t.py'", "HF_TOKEN="),
    ("curl -u me:hunter2 http://h", "-u"),
]


@pytest.mark.parametrize(("words", "where"), SAYS)
@pytest.mark.parametrize("head", [V1, V2, V2.replace("training", "mpi")])
def test_words_that_are_one_are_warned_of(head: str, words: str, where: str) -> None:
    (found,) = parse_command(f"{head} -- {words}").warnings
    assert found.startswith(f"{where} of the command: looks like a secret (not shown)")
    assert ("SECRET:NAME,KEY" in found) is (head == V1)
    for secret in (
        HUSH,
        HF,
        GITHUB,
        GITLAB,
        SLACK,
        "hunter2",
        "abcDEF123",
        "0123456789abcdef",
        "secret123",
        "abc1defg2",
    ):
        assert secret not in found


@pytest.mark.parametrize("line", ["--args --token --args abc1defg2", "--args=--password=hunter2"])
def test_words_of_the_old_grammar_are_looked_at_too(line: str) -> None:
    assert "looks like a secret" in parse_command(f"{V1} --command ./s.sh {line}").warnings[0]


QUIET = [
    "python t.py --token $HF_TOKEN",
    "python t.py --token ${HF_TOKEN}",
    "python t.py --token '{{ conn.hf.password }}'",
    "python t.py --tokenizer gpt2 --max-tokens 4096 --num_tokens=1e9 --token-dropout 0.1",
    "python t.py --pad-token '<pad>' --eos-token '</s>' --mask_token '[MASK]' --bos-token BOS",
    "python t.py --placeholder-token '<cat>' --initializer_token toy --special-token X --stop-token END",
    "python t.py --token-file /run/secrets/hf --password-file=/run/secrets/p --key-path a",
    "python t.py --private-key /keys/id_rsa --credentials gcp.json --api-key-file key.txt",
    "python t.py --key-dim 64 --num-keys 8 --key query --keys a --monkey banana --author me",
    "python t.py --use-auth-token true --token --verbose --push-token no",
    "python t.py --auth-method oauth --secret-name my-secret --password-policy strict",
    "python t.py --lr=0.1 model.hidden=64 data.path=/data +trainer.max_steps=5",
    "python t.py --url http://host:8080/a@b s3://bucket/path user@example.com git@github.com:a/b",
    "torchrun --nproc_per_node 8 --rdzv_endpoint=host:29500 t.py",
    "python t.py --seed 42 --hash 0123456789abcdef0123456789abcdef",
    "python t.py --access-key-id",
    "bash -c 'python t.py --token $T'",
    "docker run -u 1000:1000 x",
    "curl -u $USER:$PASSWORD http://h",
    "python t.py --prompt 'the token is not here'",
]


@pytest.mark.parametrize("words", QUIET)
def test_what_only_sounds_like_one_is_not(words: str) -> None:
    assert list(in_words(shlex.split(words))) == []
    assert masked(words) == words


@pytest.mark.parametrize(("words", "where"), SAYS)
def test_what_is_logged_has_none(words: str, where: str) -> None:
    assert masked(words).startswith("*** (not shown, because of ")


def test_what_cannot_be_split_is_shown_unless_it_holds_one() -> None:
    assert masked("it's") == "it's"
    assert masked(f"it's {HF}").startswith("***")


@pytest.mark.parametrize(
    "line",
    [
        f"runai submit a -i x -v https://u:{HUSH}@h:/d",
        f"runai submit a -i x --pvc https://u:{HUSH}@h",
        f"runai submit a -i x -g https://u:{HUSH}@h",
        f"runai submit a https://u:{HUSH}@h -i x",
        f"runai training submit a -i x --external-url container=80,url=https://u:{HUSH}@h",
        f"runai training submit a -i x --nfs path=/a,server=https://u:{HUSH}@h,mountpath=/b",
    ],
)
def test_no_error_repeats_one_wherever_it_stands(line: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_command(line)
    assert HUSH not in str(caught.value)


@pytest.mark.parametrize("flag", ["--label", "--annotation"])
def test_labels_that_carry_one_are_warned_of(flag: str) -> None:
    (found,) = parse_command(f"runai submit a -i x {flag} url=https://u:{HUSH}@h").warnings
    assert "which everybody can read" in found
    assert HUSH not in found


@pytest.mark.parametrize("name", ["MY_PASS", "MYSQL_PWD", "dbPass", "DB_PASSPHRASE", "HF_TOKEN"])
def test_a_submission_s_log_shows_no_value_of_such_a_name(name: str) -> None:
    assert SENSITIVE.search(name)
    assert not SENSITIVE.search("PASSES")
