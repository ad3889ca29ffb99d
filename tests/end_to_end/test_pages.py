"""The embedded Run:ai's page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_runai.emulator import Emulator, EmulatorSettings, serve
from tests.emulator.conftest import Client
from tests.end_to_end.browser import Browser, browser

pytestmark = pytest.mark.slow

_HOSTILE = "<img src=x onerror='window.hurt=1'><script>window.hurt=1</script>"
_HOSTILE_NAME = '<img src=x onerror="window.hurt=1">'


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.mark.parametrize(
    ("required", "ending"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_missing_browser_is_a_skip_or_where_required_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, required: str, ending: type[BaseException]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("RUNAI_REQUIRE_BROWSER", required)
    with (
        pytest.raises(ending, match="apt-get install chromium chromium-driver"),
        browser(tmp_path / "profile"),
    ):
        pass


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(EmulatorSettings(grace=1)) as running:
        yield running


@pytest.fixture
def client(emulator: Emulator) -> Client:
    return Client(emulator)


def address(emulator: Emulator, path: str = "/") -> str:
    return f"{emulator.url}{path}#client_id={emulator.client_id}&client_secret={emulator.client_secret}"


def test_nothing_is_shown_before_the_log_in_and_a_wrong_secret_is_told(
    emulator: Emulator, client: Client, window: Browser
) -> None:
    client.create("train-1")
    window.open(emulator.url)
    window.until_text("Client secret")
    assert "train-1" not in window.text()
    window.write("input[name=id]", emulator.client_id)
    window.write("input[name=secret]", "wrong", enter=True)
    window.until_text("the client id or the client secret is wrong")
    window.run("document.querySelector('input[name=secret]').value = ''")
    window.write("input[name=secret]", emulator.client_secret, enter=True)
    window.until_text("train-1")
    assert emulator.client_secret not in "".join(
        window.run("return [location.href, ...Object.values(sessionStorage)]")
    )


def test_fragment_logs_in_and_is_gone_from_the_address(emulator: Emulator, window: Browser) -> None:
    window.open(address(emulator))
    window.until_text("There is no workload yet")
    assert window.run("return location.href") == f"{emulator.url}/"
    assert all(emulator.client_secret not in seen.query for seen in emulator.requests)


def test_preempting_by_hand_shows_in_the_timeline(
    emulator: Emulator, client: Client, window: Browser
) -> None:
    workload = client.create("train-1", command="sh -c 'echo I am on $NODE_NAME; exec sleep 100'")
    client.wait_for(workload, "Running")
    window.open(address(emulator))
    window.until_text("train-1", ".gpu.busy")
    window.click("button[data-action=preempt]")
    row = "tr[data-workload=train-1]"
    window.until("return document.querySelector(arguments[0] + ' .bar .preempted') !== null", row)
    window.until_text("Running", row)
    label = window.run(
        "return document.querySelector(arguments[0] + ' .bar').getAttribute('aria-label')", row
    )
    assert label.index("running") < label.index("preempted") < label.rindex("running")
    assert window.text(f"{row} td:nth-child(3)") == "node-2"
    assert [window.text(f"{row} td:nth-child({n})") for n in (4, 5)] == ["2", "1"]


def test_story_shows_history_events_and_the_log_of_each_incarnation(
    emulator: Emulator, client: Client, window: Browser
) -> None:
    workload = client.create("train-1", command="sh -c 'echo I am on $NODE_NAME; exec sleep 100'")
    client.wait_for(workload, "Running")
    emulator.preempt("train-1")
    client.wait_for(workload, "Pending", "Initializing")
    client.wait_for(workload, "Running")
    window.open(address(emulator, "/workloads?search=train"))
    window.until_text("train-1", "#rows")
    window.click("#rows a")
    window.until_text("I am on node-2", "#log")
    assert window.run("return location.pathname") == "/workloads/train-1"
    assert "Preempted: node maintenance" in window.text("[aria-label=History]")
    assert "Evict" in window.text("[aria-label=Events]")
    window.click("[data-incarnation='1']")
    window.until_text("I am on node-1", "#log")
    window.run("history.back()")
    window.until_text("Find")


def test_suspend_resume_and_delete_by_hand(
    emulator: Emulator, client: Client, window: Browser
) -> None:
    client.create("train-1")
    window.open(address(emulator, "/workloads/train-1"))
    for action, phase in (("suspend", "Stopped"), ("resume", "Running")):
        window.until(
            "return document.querySelector(`button[data-action=${arguments[0]}]`) !== null", action
        )
        window.click(f"button[data-action={action}]")
        window.until_text(phase, "#story .phase")
    window.click("button[data-action=delete]")
    window.accept()
    window.until_text("Deleted", "#story .phase")


def test_refreshing_keeps_the_elements_and_the_focus(
    emulator: Emulator, client: Client, window: Browser
) -> None:
    client.create("train-1")
    window.open(address(emulator))
    window.until_text("Running", "tr[data-workload=train-1]")
    window.run(
        "const one = document.querySelector('button[data-action=suspend]'); one.mark = 1; one.focus()"
    )
    client.create("train-2")
    window.until_text("train-2", "#rows")
    assert window.run(
        "return [document.activeElement.mark, document.activeElement.dataset.name]"
    ) == [1, "train-1"]


def test_hostile_text_is_shown_as_text(emulator: Emulator, client: Client, window: Browser) -> None:
    client.create("train-1", image=_HOSTILE, command=f"echo {_HOSTILE!r}")
    with emulator.plane.lock:
        # Admission refuses such a name; a page must not rely on it.
        next(iter(emulator.world.workloads.values())).name = _HOSTILE_NAME
    window.open(address(emulator))
    window.until_text(_HOSTILE_NAME, "#rows")
    window.click("#rows a")
    window.until_text(_HOSTILE_NAME, "#story h2")
    assert _HOSTILE in window.text("#story dl")
    assert window.run("return [window.hurt ?? null, document.querySelectorAll('img').length]") == [
        None,
        0,
    ]


def test_restarted_emulator_is_found_again(tmp_path: Path, window: Browser) -> None:
    with serve(EmulatorSettings(state=tmp_path)) as emulator:
        Client(emulator).create("train-1")
        window.open(address(emulator))
        window.until_text("train-1")
        emulator.restart()
        window.until_text("live", "#state")
        window.until_text("train-1", "#rows")
