"""Lines as they are pasted from pages, chats and habits: what is meant is guessed at by nobody, and said at once."""

from __future__ import annotations

import pytest

from airflow_runai.core.command_line import parse_command
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import SpecError


def problems(line: str | list[str]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_command(line)
    return list(caught.value.problems)


PLACEHOLDERS = {
    "one": ("runai submit <name> -i x", ["<name>"]),
    "all at once": ("runai submit <job> -i <image_name> -p <my project>", ["<job>", "<image_name>", "<my project>"]),
    "with blanks": ("runai submit a -i <your image>", ["<your image>"]),
    "a choice": ("runai submit a -i x --image-pull-policy <Always|Never>", ["<Always|Never>"]),
    "within a value": ("runai submit a -i host/<team>/img:<tag> -v /nfs/<user>:/mydir", ["<team>", "<tag>", "<user>"]),
    "of a variable": ("runai training submit a -i x -e KEY=<value>", ["<value>"]),
    "behind the hyphens": ("runai training submit a -i x -- python <script.py>", ["<script.py>"]),
    "over several lines": ("runai submit <name> \\\n  -i <image> \\\n  -g 1", ["<name>", "<image>"]),
    "in upper case": ("runai submit a -i x -p <PROJECT NAME>", ["<PROJECT NAME>"]),
    "of a claim": ("runai training submit a -i x --existing-pvc claimname=<claim>,path=<path>", ["<claim>", "<path>"]),
}  # fmt: skip


@pytest.mark.parametrize(("line", "names"), PLACEHOLDERS.values(), ids=PLACEHOLDERS)
def test_placeholders_are_named_as_such_all_at_once_and_with_their_place(
    line: str, names: list[str]
) -> None:
    found = problems(line)
    assert len(found) == len(names), found
    for sentence, name in zip(found, names, strict=True):
        assert sentence.startswith("command line, line ")
        assert sentence.endswith(f"placeholder {name}: fill it in, without < and >")


@pytest.mark.parametrize(
    ("line", "also"),
    [
        ("runai submit <a> -i <b> --gup 1", "--gup: unknown flag; did you mean '--gpu'?"),
        (
            "runai workspace submit <a> -i <b>",
            "runai workspace submit: makes an interactive workspace",
        ),
        (
            "runai distributed submit <a> -f XGBoost/PyTorch/TF/MPI -i <b>",
            "--framework: 'XGBoost/PyTorch/TF/MPI'",
        ),
        ("runai submit <a> -i <b> -e 'A=b", "command line, line 1, column 28: ' is never closed"),
        ("runai submit <a> -i <b> | tee log", "command line, line 1, column 25: | is for a shell"),
        ("runai submit <a> -i <b> --interactive", "--interactive: for interactive work"),
    ],
)
def test_a_placeholder_hides_no_other_mistake(line: str, also: str) -> None:
    found = problems(line)
    assert [sentence.partition("placeholder ")[2][:3] for sentence in found[:2]] == ["<a>", "<b>"]
    assert [sentence for sentence in found[2:] if sentence.startswith(also)]


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["-i", "<image_name>"], "-i"),
        (["--image=<image_name>"], "--image"),
        (["-i", "registry/<team>/img:1"], "-i"),
        (["-i", "x", "-p", "<project>"], "-p"),
        (["-i", "x", "--template", "<template>"], "--template"),
        (["-i", "x", "--working-dir", "/<dir>"], "--working-dir"),
        (["-i", "x", "-v", "/nfs/<you>:/mydir"], "-v"),
        (["-i", "x", "--pvc", "<claim>:/data"], "--pvc"),
        (["-i", "x", "--git-sync", "source=<url>"], "--git-sync"),
        (["-i", "x", "--name", "<job>"], "--name"),
        (["-i", "x", "<job>"], "name"),
    ],
)
def test_a_placeholder_is_no_value_in_quotes_or_a_list_either(words: list[str], flag: str) -> None:
    named = [] if "<job>" in words else ["a"]
    found = [
        one
        for one in problems(["runai", "submit", *named, *words])
        if one.startswith(f"{flag}: placeholder <")
    ]
    assert len(found) == 1
    quoted = " ".join(f"'{word}'" for word in words)
    assert [
        one
        for one in problems(f"runai submit {' '.join(named)} {quoted}")
        if "placeholder <" in one
    ]


def test_no_way_leads_to_a_placeholder_for_an_image() -> None:
    for image in ("<image>", "host/<image>:1", "host/x:<tag>"):
        with pytest.raises(SpecError, match="is a placeholder; fill it in"):
            WorkloadSpec.from_mapping({"image": image})


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (
            "runai submit a -i x -- python t.py --pad-token '<pad>'",
            "python t.py --pad-token '<pad>'",
        ),
        ("runai submit a -i x -- bash -c 'sort <in >out'", "bash -c 'sort <in >out'"),
        ("runai submit a -i x --command ./s.sh --args '<s>'", "'<s>'"),
    ],
)
def test_words_for_the_container_may_look_like_one_in_quotes(line: str, kept: str) -> None:
    assert parse_command(line).spec["args"] == kept
    assert (
        parse_command("runai submit a -i x -e 'EOS=</s>' -e 'PAD=<pad>'").spec["environment"]["PAD"]
        == "<pad>"
    )


@pytest.mark.parametrize(
    "line", ["-- python t.py < in.txt", "-- python t.py <in.txt >out.txt", "-- a > b", "-- a <b"]
)
def test_what_only_a_shell_can_redirect_is_no_placeholder(line: str) -> None:
    (found,) = problems(f"runai submit a -i x {line}")
    assert "is for a shell" in found


@pytest.mark.parametrize(
    "line",
    [
        "runai submit {0} -i x",
        "runai submit --name {0} -i x",
        "runai submit --job-name-prefix {0} -i x",
    ],
)
@pytest.mark.parametrize("length", [64, 80])
def test_a_name_that_is_only_too_long_says_so(line: str, length: int) -> None:
    (found,) = problems(line.format("a" * length))
    assert f"has {length} characters; allowed: 63" in found
    assert parse_command(line.format("a" * 63))


@pytest.mark.parametrize("source", ["$HOME", "${HOME}/data", "~/data", "~", "./data", "../data"])
def test_the_node_s_side_of_a_volume_is_named(source: str) -> None:
    (found,) = problems(["runai", "submit", "a", "-i", "x", "-v", f"{source}:/data"])
    assert found.startswith(
        f"-v: {source!r} is not a path on the node: your shell would have filled it in"
    )


@pytest.mark.parametrize(
    "line", ["-e \u2018EPOCHS=30\u2019", "-e \u201cEPOCHS=30\u201d", "-v \u2018/a:/b\u2019"]
)
def test_quotes_of_word_processors_are_named_where_something_is_wrong(line: str) -> None:
    assert (
        "is not a quote to a shell; type ' or \" instead"
        in problems(f"runai submit a -i x {line}")[-1]
    )


def test_a_docker_habit_is_told_what_it_became() -> None:
    found = parse_command("runai submit a -i a/b:1 -it").warnings
    assert "-i: read as the image 't'; -it is for a terminal" in found[0]
    assert "--image: given 2 times; the last one counts: 't'" in found


@pytest.mark.parametrize(
    "words", ["-p=", "-p ''", "--project=", "--template=", "--name=", "--job-name-prefix ''"]
)
def test_a_flag_without_a_text_is_refused(words: str) -> None:
    (found,) = problems(f"runai submit {'' if 'name' in words else 'a'} -i x {words}")
    assert "''; allowed: a text that is not empty" in found


@pytest.mark.parametrize("words", [["-i", "x\udcff"], ["-i", "x", "-p", "\udcff"]])
def test_half_a_character_is_refused_where_nothing_can_be_done_with_it(words: list[str]) -> None:
    assert "half a character (a lone surrogate)" in problems(["runai", "submit", "a", *words])[0]


@pytest.mark.parametrize("flag", ["--master-args", "--master-command"])
def test_an_open_quote_for_the_master_is_said(flag: str) -> None:
    found = parse_command(
        ["runai", "pytorch", "submit", "a", "-i", "x", flag, "train.py --name 'open"]
    ).warnings
    assert found == (f"{flag}: a quote is not closed; what becomes of it is up to the server",)
    assert (
        parse_command(
            ["runai", "pytorch", "submit", "a", "-i", "x", flag, "train.py 'a b'"]
        ).warnings
        == ()
    )


def test_no_master_says_what_leaving_it_out_means() -> None:
    (found,) = problems("runai pytorch submit a -i x --workers 2 -g 1 --no-master")
    assert "a master is added, which asks for the GPUs of a worker" in found
    assert "--master-gpu-devices-request 0" in found
