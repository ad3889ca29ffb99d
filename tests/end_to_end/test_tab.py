"""The plugin's tab in a real browser, in a stub of Airflow; in Airflow's own page: test_airflow_ui.py."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from airflow_runai.core.gates import judge, parse_gates
from airflow_runai.core.outcome import moments_to_json, news
from airflow_runai.core.timeline import Moment, clocks
from airflow_runai.tasks.log_facts import LogFacts
from tests.end_to_end.browser import Browser, browser
from tests.end_to_end.stub_airflow import TAB, StubAirflow, stub_airflow

pytestmark = pytest.mark.slow

_HOSTILE = "<img src=x onerror='window.hurt=1'><script>window.hurt=1</script>"
_PREEMPTED = "Preempted: GPUs reclaimed by project team-b"


def call(airflow: StubAirflow, window: Browser, file: str, function: str, *arguments: Any) -> Any:
    """Call a function of one of the tab's files."""
    if not window.run("return location.href").startswith(airflow.url):
        airflow.knows("success")
        window.open(airflow.url + "tab")
    script = """const [address, name, given] = arguments;
        globalThis.called = null;
        import(address).then(file => { globalThis.called = [file[name](...given) ?? null]; })"""
    window.run(script, f"/sub/path/{TAB.rpartition('/')[0]}/{file}", function, arguments)
    return window.until("return globalThis.called")[0]


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.fixture
def airflow() -> Iterator[StubAirflow]:
    with stub_airflow() as running:
        yield running


def told(*moments: tuple[float, str, str]) -> tuple[Moment, ...]:
    return tuple(Moment(*moment) for moment in moments)


_START = time.time() - 1000
_LIFE = told(
    (_START, "Creating", ""),
    (_START + 10, "Pending", "Waiting in the queue"),
    (_START + 30, "Running", "Running on node-1"),
    (_START + 230, "Terminating", _PREEMPTED),
    (_START + 240, "Pending", f"Queued again. {_PREEMPTED}"),
    (_START + 300, "Initializing", ""),
    (_START + 310, "Running", "Running on node-2"),
    (_START + 600, "Stopping", "Suspended by the user"),
    (_START + 700, "Running", ""),
    (_START + 900, "Completed", ""),
)
_RECTS = "return [...document.querySelectorAll('rect[data-kind]')]"


def test_tab_draws_queue_runs_preemption_and_interruption(
    airflow: StubAirflow, window: Browser
) -> None:
    airflow.knows("success", _LIFE, _START + 900)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    kinds = window.run(f"{_RECTS}.map(one => one.dataset.kind)")
    assert kinds == ["queue", "running", "preempted", "running", "suspended", "running"]
    widths = window.run(f"{_RECTS}.map(one => one.width.baseVal.value)")
    assert widths == pytest.approx(
        [30 / 0.9, 200 / 0.9, 80 / 0.9, 290 / 0.9, 100 / 0.9, 200 / 0.9], abs=0.5
    )
    story = window.text("[data-part=story]")
    assert story == "interrupted 2 times, preempted once, suspended once"
    assert window.text("[data-part=phase]") == "Completed"
    assert window.run("return document.querySelector('a').href") == "https://run.ai/w"


def test_tab_tells_the_words_of_the_stretch_that_has_the_focus(
    airflow: StubAirflow, window: Browser
) -> None:
    airflow.knows("success", _LIFE, _START + 900)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    window.run("document.querySelector('rect[data-kind=preempted]').focus()")
    window.until_text(_PREEMPTED, "[data-part=chosen]")
    assert "preempted 1 min 20 s" in window.text("[data-part=chosen]")


def test_tab_goes_on_by_itself_and_stops_when_the_task_has_ended(
    airflow: StubAirflow, window: Browser
) -> None:
    ran_for_16_minutes = time.time() - 1000
    life = told((ran_for_16_minutes - 30, "Creating", ""), (ran_for_16_minutes, "Running", ""))
    airflow.knows("deferred", life, ran_for_16_minutes)
    window.open(airflow.url + "tab")
    window.until_text("Running", "[data-part=phase]")
    running = window.text("[data-fact=running] dd")
    assert running.startswith("16 min"), "the clock goes on since the last change"
    airflow.knows("success", _LIFE, _START + 900)
    window.until_text("Completed", "[data-part=phase]")
    asked = len(airflow.asked)
    # Its timers are the page's: one that were still set for the next look would be due before this.
    window.run("setTimeout(() => { window.later = true; }, 6000)")
    window.until("return window.later")
    assert len(airflow.asked) == asked


def test_tab_shows_the_shortest_preemption_beside_the_longest_run(
    airflow: StubAirflow, window: Browser
) -> None:
    life = told(
        (1, "Running", ""),
        (864001, "Pending", _PREEMPTED),
        (864002, "Running", ""),
        (1728000, "Completed", ""),
    )
    airflow.knows("success", life, 1728000)
    window.open(airflow.url + "tab")
    window.until_text("preempted once")
    run, preemption, rest = window.run(
        f"{_RECTS}.map(one => [one.x.baseVal.value, one.width.baseVal.value])"
    )
    assert preemption[1] > 5
    assert run[0] + run[1] == pytest.approx(preemption[0], abs=0.1)
    assert preemption[0] + preemption[1] == pytest.approx(rest[0], abs=0.1)


def test_tab_of_a_mapped_task_asks_for_its_own_index(airflow: StubAirflow, window: Browser) -> None:
    airflow.knows("success", _LIFE, _START + 900)
    window.open(airflow.url + "mapped")
    window.until_text("train-abc-g1")
    assert any(path.endswith("/xcomEntries/runai_timeline?map_index=3") for path in airflow.asked)
    assert any(path.endswith("/taskInstances/train/3") for path in airflow.asked)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("success", "so there is nothing to show"),
        ("running", "(yet)"),
        ("failed", "its log says why it failed"),
    ],
)
def test_tab_of_another_task_says_so_kindly(
    airflow: StubAirflow, window: Browser, state: str, words: str
) -> None:
    airflow.knows(state)
    window.open(airflow.url + "tab")
    window.until_text("has submitted nothing to Run:ai")
    assert words in window.text()


def test_tab_shows_hostile_text_as_text_and_no_dangerous_link(
    airflow: StubAirflow, window: Browser
) -> None:
    life = told(
        (_START, "Pending", _HOSTILE), (_START + 9, _HOSTILE, ""), (_START + 10, "Failed", _HOSTILE)
    )
    airflow.knows("failed", life, _START + 10, url="javascript:window.hurt=1")
    window.open(airflow.url + "tab")
    window.until_text(_HOSTILE, "table")
    assert window.run(
        "return [window.hurt ?? null, document.querySelectorAll('img, a').length]"
    ) == [None, 0]


@pytest.mark.parametrize(
    "life",
    [
        _LIFE,
        _LIFE[:5],
        _LIFE[:8],
        told(
            (1, "Pending", ""),
            (5, "Stopped", ""),
            (9, "Running", ""),
            (10, "Unknown", ""),
            (15, "Pending", ""),
        ),
        told((1, "Creating", ""), (2, "Running", ""), (7, "Terminating", ""), (9, "Completed", "")),
        told((1, "Running", ""), (4, "NeverHeardOf", ""), (6, "Running", ""), (7, "Deleting", "")),
        told((1, "Running", ""), (4, "Failed", ""), (6, "Deleting", "")),
        told(
            (1, "Running", ""),
            (4, "Failed", ""),
            (6, "Pending", ""),
            (9, "Running", ""),
            (20, "Completed", ""),
        ),
        told(
            (1, "Unknown", ""),
            (4, "Running", ""),
            (6, "Pending", ""),
            (9, "Initializing", _PREEMPTED),
        ),
        told((1, "Running", ""), (4, "Terminating", _PREEMPTED), (9, "Completed", "")),
        told((1, "Running", ""), (4, "Terminating", "OOMKilled"), (9, "Failed", "")),
        told((1, "Running", ""), (4, "Pending", ""), (6, "Terminating", ""), (9, "Failed", "")),
        told((1, "Running", ""), (4, "Terminating", ""), (6, "Deleting", ""), (9, "Failed", "")),
        told((1, "Running", ""), (4, "Terminating", ""), (6, "Deleting", "")),
        told((1, "Pending", ""), (4, "Deleting", "")),
        told((1, "Pending", ""), (4, "Failed", "")),
    ],
)
def test_tab_and_clocks_agree(
    airflow: StubAirflow, window: Browser, life: tuple[Moment, ...]
) -> None:
    now = life[-1].at + 50
    moments, before = moments_to_json(life), clocks(life, now - 45).to_dict()
    drawn = call(airflow, window, "stretches.js", "stretches", moments, now)
    clocked = call(airflow, window, "stretches.js", "goOn", before, moments, now)
    seconds = _sums(drawn)
    expected = clocks(life, now)
    assert seconds["running"] == pytest.approx(expected.running)
    assert seconds["queue"] == pytest.approx(expected.queue)
    assert seconds["away"] == pytest.approx(expected.interrupted_total)
    preempted = [one for one in drawn if one["kind"] == "preempted" and not one["ends"]]
    assert len(preempted) == expected.preemptions
    assert clocked == pytest.approx(expected.to_dict())


def _sums(drawn: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {
        clock: sum(one["until"] - one["since"] for one in drawn if one["clock"] == clock)
        for clock in ("queue", "running", "away")
    }


# -- what an interruption was, and where the incarnations lived
# --------------------------------------------------------------------------------------------------


def interrupted_by(*moments: tuple[str, str]) -> tuple[Moment, ...]:
    away = [(30 + index, *moment) for index, moment in enumerate(moments)]
    return told((10, "Running", "Running on node-1"), *away, (50, "Running", "Running on node-2"))


@pytest.mark.parametrize(
    ("life", "kind"),
    [
        (interrupted_by(("Terminating", _PREEMPTED), ("Pending", "Queued again")), "preempted"),
        (interrupted_by(("Pending", "Pod failed with exit code 1; retry 2 of 5")), "crashed"),
        (interrupted_by(("Initializing", "Back-off restarting failed container")), "crashed"),
        (interrupted_by(("Pending", "OOMKilled")), "crashed"),
        (interrupted_by(("Pending", "Evicted: the node is drained")), "evicted"),
        (interrupted_by(("Terminating", ""), ("Pending", "")), "evicted"),
        (interrupted_by(("Stopping", ""), ("Stopped", "")), "suspended"),
        (interrupted_by(("Terminating", ""), ("Suspended", "error")), "suspended"),
        (interrupted_by(("Suspended", ""), ("Pending", _PREEMPTED)), "preempted"),
        (interrupted_by(("Pending", "")), "interrupted"),
        (interrupted_by(("Pending", "Rescheduled, no errors")), "interrupted"),
        (interrupted_by(("Pending", "Moved without any error, exit code 0")), "interrupted"),
        (interrupted_by(("Initializing", 'Back-off pulling image "x"')), "interrupted"),
        (interrupted_by(("Pending", "CUDA error: an illegal memory access")), "crashed"),
        (interrupted_by(("Pending", "Non-preemptible workload over quota")), "interrupted"),
        (interrupted_by(("Pending", "Pending the preemption of 1 workload(s)")), "interrupted"),
        (interrupted_by(("Pending", "evicted: PreemptionByScheduler")), "preempted"),
    ],
)
def test_causes_of_interruptions_look_different(
    airflow: StubAirflow, window: Browser, life: tuple[Moment, ...], kind: str
) -> None:
    airflow.knows("success", life, 60)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    assert window.run(f"{_RECTS}.map(one => one.dataset.kind)") == ["running", kind, "running"]
    fills = window.run(f"{_RECTS}.map(one => one.getAttribute('fill'))")
    assert len(set(fills)) == 2
    assert kind in window.text("[data-part=legend]")
    cause = "" if kind == "interrupted" else f", {kind} once"
    assert window.text("[data-part=story]") == f"interrupted once{cause}"


@pytest.mark.parametrize(
    ("moments", "kind", "seconds"),
    [
        ([(100, "Failed", "")], "crashed", 0),
        ([(100, "Failed", "Job has reached the specified backoff limit")], "crashed", 0),
        ([(100, "Failed", "Evicted: the node is out of disk")], "evicted", 0),
        ([(100, "Terminating", "OOMKilled"), (130, "Failed", "")], "crashed", 30),
        ([(100, "Terminating", ""), (130, "Failed", "")], "crashed", 30),
        ([(100, "Terminating", _PREEMPTED), (130, "Failed", "exit code 1")], "preempted", 30),
        ([(100, "Terminating", "Suspended by anna"), (130, "Failed", "")], "suspended", 30),
        ([(100, "Failed", ""), (110, "Terminating", ""), (120, "Deleting", "")], "crashed", 0),
        ([(100, "Terminating", _PREEMPTED), (130, "Completed", "")], "preempted", 30),
        ([(100, "Terminating", "exit code 137"), (130, "Completed", "")], "crashed", 30),
        ([(100, "Deleting", "")], "deleted", 20),
        ([(100, "Terminating", ""), (110, "Deleting", "")], "deleted", 20),
    ],
)
def test_an_end_that_is_no_success_has_a_stretch_of_its_own(
    airflow: StubAirflow,
    window: Browser,
    moments: Sequence[tuple[float, str, str]],
    kind: str,
    seconds: float,
) -> None:
    life = told((1, "Pending", ""), (10, "Running", ""), *moments)
    airflow.knows("failed", life, 120)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    assert window.run(f"{_RECTS}.map(one => one.dataset.kind)") == ["queue", "running", kind]
    assert window.run(f"{_RECTS}.at(-1).width.baseVal.value") > 5
    assert kind in window.text("[data-part=legend]")
    window.run(f"{_RECTS}.at(-1).focus()")
    window.until_text(f"{kind} {seconds} s", "[data-part=chosen]")


@pytest.mark.parametrize(
    ("life", "kinds"),
    [
        (told((1, "Running", ""), (9, "Completed", "exit code 1")), ["running"]),
        (
            told((1, "Running", ""), (5, "Terminating", "exit code 0"), (9, "Completed", "")),
            ["running"],
        ),
        (told((1, "Pending", ""), (5, "Failed", "")), ["queue", "failed"]),
        (told((1, "Failed", "")), ["failed"]),
        (
            told((1, "Running", ""), (5, "Pending", _PREEMPTED), (9, "Failed", "")),
            ["running", "preempted", "failed"],
        ),
        (
            told((1, "Running", ""), (5, "Terminating", _PREEMPTED), (9, "Deleting", "")),
            ["running", "preempted", "deleted"],
        ),
    ],
)
def test_ends_are_what_the_platform_calls_them(
    airflow: StubAirflow, window: Browser, life: tuple[Moment, ...], kinds: list[str]
) -> None:
    drawn = call(airflow, window, "stretches.js", "stretches", moments_to_json(life), 20)
    assert [one["kind"] for one in drawn] == kinds


def test_a_timeline_that_was_cut_counts_incarnations_from_its_end(
    airflow: StubAirflow, window: Browser
) -> None:
    bands = "return [...document.querySelectorAll('[aria-label=Incarnations] li')].map(one => one.innerText)"
    ran = [
        moment
        for n in range(1, 302)
        for moment in ((100 * n, "Running", f"Running on node-{n}"), (100 * n + 50, "Pending", ""))
    ]
    # While the 300th is away, and while the 301st runs.
    for last, moments in ((300, ran[:600]), (301, ran[:601])):
        life = told((1, "Pending", ""), *moments)
        airflow.knows("deferred", life, 30200)
        window.open(airflow.url + "tab")
        window.until_text("train-abc-g1")
        shown = window.run(bands)
        assert shown == [f"{n} node-{n}" for n in range(last + 1 - len(shown), last + 1)]
        assert len(shown) > 80
        facts = LogFacts()
        facts.add([], last - 1, "gpu-7")
        told_of = facts.beside(news(life, clocks(life, 30200), life[-1].phase))["incarnations"]
        airflow.knows("deferred", life, 30200, incarnations=told_of)
        window.open(airflow.url + "tab")
        window.until_text("train-abc-g1")
        assert window.run(bands)[-2:] == [f"{last - 1} gpu-7", f"{last}"]


def test_bands_show_nodes_from_messages_or_as_published(
    airflow: StubAirflow, window: Browser
) -> None:
    bands = "return [...document.querySelectorAll('[aria-label=Incarnations] li')].map(one => one.innerText)"
    airflow.knows("success", _LIFE, _START + 900)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    assert window.run(bands) == ["1 node-1", "2 node-2", "3"]
    lives = [
        {"node": "gpu-7", "since": _START + 30, "until": _START + 230},
        {"node": "gpu-8", "since": _START + 310},
        {"node": {"not": "a name"}, "since": "not a time"},
    ]
    airflow.knows("success", _LIFE, _START + 900, incarnations=lives)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    assert window.run(bands) == ["1 gpu-7", "2 gpu-8"]


# -- reader, time zone, keyboard
# --------------------------------------------------------------------------------------------------


def test_tab_stops_with_a_sentence_where_xcoms_may_not_be_read(
    airflow: StubAirflow, window: Browser
) -> None:
    airflow.knows("deferred")
    airflow.answers |= {"/xcomEntries/runai_workload": 403, "/xcomEntries/runai_timeline": 403}
    window.open(airflow.url + "tab")
    window.until_text("You may not read the XComs of this task")
    asked = len(airflow.asked)
    # Its timers are the page's: one that were still set for the next look would be due before this.
    window.run("setTimeout(() => { window.later = true; }, 6000)")
    window.until("return window.later")
    assert len(airflow.asked) == asked


@pytest.mark.parametrize(
    ("stored", "zone", "hour"),
    [
        ('"Asia/Tokyo"', "Asia/Tokyo", "2026-01-01 09:00:00"),
        ('"America/New_York"', "America/New_York", "2025-12-31 19:00:00"),
        ('"Nowhere/Land"', "UTC", "2026-01-01 00:00:00"),
        ("not JSON", "UTC", "2026-01-01 00:00:00"),
    ],
)
def test_times_are_in_the_zone_chosen_in_airflow(
    airflow: StubAirflow, window: Browser, stored: str, zone: str, hour: str
) -> None:
    airflow.knows("success", told((1767225600, "Running", ""), (1767225700, "Completed", "")), 0)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    # As Airflow's page does when someone chooses.
    window.run(
        "localStorage.setItem('timezone', arguments[0]); dispatchEvent(new Event('local-storage'))",
        stored,
    )
    window.until_text(f"All times are in {zone}.", "[data-part=zone]")
    assert hour in window.text("table")


def test_without_a_choice_times_are_in_the_zone_of_the_browser_as_in_airflow(
    airflow: StubAirflow, window: Browser
) -> None:
    airflow.knows("success", _LIFE, _START + 900)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    zone = window.run("return Intl.DateTimeFormat().resolvedOptions().timeZone")
    assert window.text("[data-part=zone]") == f"All times are in {zone}."


def test_bar_is_one_stop_for_the_tab_key_and_arrows_move_a_frame_that_nothing_covers(
    airflow: StubAirflow, window: Browser
) -> None:
    airflow.knows("success", _LIFE, _START + 900)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    assert window.run(f"{_RECTS}.filter(one => one.tabIndex === 0).length") == 1
    window.run("document.querySelector('rect[tabindex=\"0\"]').focus()")
    for _ in range(2):
        window.run(
            "document.querySelector('rect[tabindex=\"0\"]').dispatchEvent("
            "new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}))"
        )
    window.until_text(_PREEMPTED, "[data-part=chosen]")
    covers = """const [frame, rect] = ["[data-part=frame]", "rect[data-kind=preempted]"]
        .map(one => document.querySelector(one).getBoundingClientRect());
        const last = document.querySelector("[data-part=frame]").parentElement.lastElementChild;
        return [frame.left - rect.left, frame.right - rect.right, last.dataset.part]"""
    left, right, last = window.run(covers)
    assert (left, right, last) == (pytest.approx(0, abs=0.5), pytest.approx(0, abs=0.5), "frame")


def test_page_has_headings_and_a_table_with_a_caption(
    airflow: StubAirflow, window: Browser
) -> None:
    airflow.knows("success", _LIFE, _START + 900)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    found = window.run(
        "return ['h2', 'h3', 'caption'].map(one => document.querySelector(one)?.textContent)"
    )
    assert found == [
        "train-abc-g1 ↗",
        "What the platform said",
        "Phases of the workload, the newest first",
    ]


# -- what other parts publish
# --------------------------------------------------------------------------------------------------

_MORE: dict[str, Any] = {
    "progress": {
        "step": 1200,
        "target": 6000,
        "per_hour": 300.4,
        "finish": 1767225600,
        "finish_with_waits": 1767229200,
        "checkpoints": [
            {"at": _START + 100, "step": 600, "verdict": "valid", "level": 1},
            {"at": _START + 200, "step": 1200, "verdict": "poisoned"},
            {"at": None, "step": 1, "verdict": "valid"},
            {"at": 0, "step": 2, "verdict": "valid"},
        ],
    },
    "usage": {
        "gpus": 2,
        "allocated": 7200,
        "useful": 5400,
        "lost": 1800,
        "waiting": 60,
        "starting": None,
        "running_seconds": 32400,
        "idle_share": 0.7,
        "checkpoint_interval": 720.4,
    },
    "guaranteed_until": 4102444800,
    "reasons": ["The image cannot be pulled: registry/x: not found."],
    "log_tail": [f"line {number}" for number in range(30)],
}


def test_tab_shows_progress_usage_reasons_and_the_end_of_the_log(
    airflow: StubAirflow, window: Browser
) -> None:
    airflow.knows("success", _LIFE, _START + 900, **_MORE)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    progress = window.text("[data-part=progress]")
    assert "1,200 of 6,000 (20 %)" in progress
    assert "2 checkpoints: 1 valid by structure, 1 poisoned" in progress
    assert window.run(
        "return [...document.querySelectorAll('rect[data-verdict]')].map(one => one.dataset.verdict)"
    ) == ["valid", "poisoned"]
    usage = window.text("[data-part=usage]")
    assert all(word in usage for word in ("2 h", "30 min", "12 min", "70 % of 9 h"))
    assert window.text("[data-fact=guaranteed] dd").startswith("2100-01-01")
    assert _MORE["reasons"][0] in window.text("[data-part=reasons]")
    assert window.text("[data-part=log] pre").splitlines() == _MORE["log_tail"][-20:]


def test_checkpoints_older_than_the_timeline_are_told_and_not_drawn(
    airflow: StubAirflow, window: Browser
) -> None:
    marks = [{"at": _START + seconds, "step": 5, "verdict": ""} for seconds in (-900, -800, 100)]
    airflow.knows("success", _LIFE, _START + 900, progress={"step": 5, "checkpoints": marks})
    window.open(airflow.url + "tab")
    window.until_text("3 checkpoints: 3 not checked", "[data-part=progress]")
    [x] = window.run(
        "return [...document.querySelectorAll('rect[data-verdict]')].map(one => one.x.baseVal.value)"
    )
    assert x == pytest.approx(100 / 0.9, abs=1)


@pytest.mark.parametrize(
    "more",
    [
        {"reasons": None},
        {"progress": {}, "usage": {}, "reasons": [], "log_tail": []},
        {"progress": 1, "usage": [], "reasons": "x", "log_tail": {}, "incarnations": None},
        {
            "progress": {"step": "x", "checkpoints": [None, 3]},
            "usage": {"gpus": "x", "waiting": True},
        },
        {"reasons": [None, {}], "log_tail": [None], "incarnations": [None, {"since": 1e99}]},
    ],
)
def test_what_is_absent_or_nonsense_is_not_drawn(
    airflow: StubAirflow, window: Browser, more: dict[str, Any]
) -> None:
    airflow.knows("success", _LIFE, _START + 900, **more)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    assert window.run("return document.querySelectorAll('table').length") == 1
    for part in ("reasons", "progress", "usage", "log"):
        assert window.text(f"[data-part={part}]") == ""
    assert "undefined" not in window.text()
    assert "NaN" not in window.text()


def test_all_that_is_published_is_text_and_bounded(airflow: StubAirflow, window: Browser) -> None:
    more: dict[str, Any] = {
        "progress": {"checkpoints": [{"at": _START, "step": 1, "verdict": _HOSTILE}]},
        "usage": {"gpus": _HOSTILE, "waiting": 1},
        "reasons": [_HOSTILE],
        "log_tail": [_HOSTILE, "x" * 10_000, "y" * 4000],
        "incarnations": [{"node": _HOSTILE, "since": _START}],
    }
    airflow.knows("success", _LIFE, _START + 900, **more)
    window.open(airflow.url + "tab")
    window.until_text(_HOSTILE, "[data-part=reasons]")
    assert _HOSTILE not in window.text("[data-part=usage]")
    assert len(window.text("[data-part=log] pre")) == 4096
    assert window.run(
        "return [window.hurt ?? null, document.querySelectorAll('main img, main script').length]"
    ) == [None, 0]


def test_200_moments_and_1000_checkpoints_are_drawn_within_a_second(
    airflow: StubAirflow, window: Browser
) -> None:
    phases = ("Running", "Terminating")
    life = told(*((at * 60, phases[at % 2], f"message {at}") for at in range(200)))
    marks = [{"at": 12 + at * 11, "step": at, "verdict": "valid"} for at in range(1000)]
    airflow.knows("success", life, 12000, progress={"step": 1, "checkpoints": marks})
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    assert window.run("return document.querySelectorAll('rect[data-verdict]').length") == 1000
    assert window.run(f"{_RECTS}.length") == 200
    drawn_in = []
    for _ in range(3):
        window.run("globalThis.drawnIn = 0; dispatchEvent(new Event('local-storage'))")
        drawn_in.append(window.until("return globalThis.drawnIn"))
    assert min(drawn_in) < 1000, drawn_in


# -- tasks that judge checkpoints
# --------------------------------------------------------------------------------------------------

_SELECTED = {
    "path": "/shared/a/step-9",
    "uri": "/mnt/a/step-9",
    "step": 9,
    "digest": "sha256:12",
    "format": "torch",
    "verdict": "valid",
    "bytes": 1_500_000,
    "refused": [
        {
            "path": "/mnt/a/step-10",
            "verdict": "poisoned",
            "reasons": f"poisoned ({_HOSTILE})",
            "quarantined": "/mnt/a/quarantine/step-10",
        }
    ],
}


def test_selection_shows_its_verdicts(airflow: StubAirflow, window: Browser) -> None:
    airflow.knows_result("RunaiSelectCheckpointOperator", _SELECTED)
    window.open(airflow.url + "tab")
    window.until_text("/mnt/a/step-9", "[data-part=verdicts]")
    rows = "return [...document.querySelectorAll('tbody tr')].map(one => one.innerText.split('\t'))"
    assert window.run(rows) == [
        [
            "/mnt/a/step-10",
            "poisoned",
            f"poisoned ({_HOSTILE}); moved to /mnt/a/quarantine/step-10",
        ],
        ["/mnt/a/step-9", "valid", "chosen"],
    ]
    assert "1.5 MB" in window.text("[data-part=verdicts]")


def test_evaluation_shows_each_gate_with_what_was_measured(
    airflow: StubAirflow, window: Browser
) -> None:
    gates = parse_gates(["accuracy >= 0.9", "loss < champion.loss", "loss < champion.loss - 0.4"])
    metrics, champion = {"accuracy": 0.95, "loss": 0.2}, {"loss": 0.5}
    result = {
        "checkpoint": _SELECTED,
        "metrics": metrics,
        "gates": [str(gate) for gate in gates],
        "passed": False,
        "failures": judge(gates, metrics, champion),
        "champion": {"uri": "/mnt/champion", "metrics": champion},
    }
    airflow.knows_result("RunaiEvaluationOperator", result, "failed")
    window.open(airflow.url + "tab")
    window.until_text("did not pass", "[data-part=gates]")
    rows = "return [...document.querySelectorAll('tbody tr')].map(one => one.innerText.split('\t'))"
    assert window.run(rows) == [
        ["accuracy >= 0.9", "0.95", "passed"],
        ["loss < champion.loss", "0.2", "passed"],
        ["loss < champion.loss - 0.4", "0.2", "failed"],
    ]
    assert "/mnt/champion" in window.text("[data-part=gates]")


@pytest.mark.parametrize(
    "operator", ["RunaiPromoteCheckpointOperator", "RunaiRollbackChampionOperator"]
)
def test_promotion_shows_the_champion_now_and_before(
    airflow: StubAirflow, window: Browser, operator: str
) -> None:
    run = {"dag_id": "digits", "run_id": "manual", "task_id": "promote"}
    old = {"uri": "/mnt/old", "step": 5, "metrics": {"accuracy": 0.9}, "promoted_at": 1, "run": run}
    new = {**old, "uri": "/mnt/new", "step": 9, "previous": old}
    airflow.knows_result(operator, new)
    window.open(airflow.url + "tab")
    window.until_text("/mnt/new", "[data-part=champion]")
    rows = "return [...document.querySelectorAll('tbody tr')].map(one => one.innerText.split('\t'))"
    now, before = window.run(rows)
    assert now[:4] == ["Now", "/mnt/new", "9", "accuracy 0.9"]
    assert before[:3] == ["Before", "/mnt/old", "5"]


def test_results_of_other_tasks_are_not_read(airflow: StubAirflow, window: Browser) -> None:
    airflow.knows_result("BashOperator", _SELECTED)
    window.open(airflow.url + "tab")
    window.until_text("has submitted nothing to Run:ai")
    assert not any("return_value" in path for path in airflow.asked)


# -- the trials of a sweep
# --------------------------------------------------------------------------------------------------


def trial(number: int, score: object = None, rank: object = None, **given: Any) -> dict[str, Any]:
    known = {"trial": number, "name": f"lr-{number}", "parameters": {"lr": number / 10}}
    return {**known, "score": score, "rank": rank, "problem": "", **given}


_ROWS = "return [...document.querySelectorAll('[data-part=trials] tbody tr')]"


def test_best_trial_is_shown_among_all_trials_and_with_its_gates(
    airflow: StubAirflow, window: Browser
) -> None:
    trials = [
        trial(0, 0.5, 2),
        trial(1, problem="no result: its training did not succeed"),
        trial(2, 0.9, 1, parameters={"lr": 0.2, "layers": 3, "warm": True}),
        trial(3, 0.1, 3),
    ]
    judged = {"metrics": {"accuracy": 0.9}, "gates": ["accuracy >= 0.4"], "failures": []}
    best = {"trial": 2, "parameters": {"lr": 0.2}, "trials": trials, **judged, "passed": True}
    airflow.knows_result("RunaiBestTrialOperator", best)
    window.open(airflow.url + "tab")
    window.until_text("lr-2", "[data-part=trials]")
    assert window.run(
        f"{_ROWS}.map(one => one.innerText.split('\\t').map(text => text.trim()))"
    ) == [
        ["1", "lr-2", "lr 0.2, layers 3, warm true", "0.9", ""],
        ["2", "lr-0", "lr 0", "0.5", ""],
        ["3", "lr-3", "lr 0.3", "0.1", ""],
        ["none", "lr-1", "lr 0.1", "none", "no result: its training did not succeed"],
    ]
    bars = "return [...document.querySelectorAll('[data-bar]')].map(one => one.dataset.bar)"
    assert window.run(bars) == ["100%", "50%", "0%"]
    assert "accuracy >= 0.4" in window.text("[data-part=gates]")
    heads = "[data-part=trials] th[scope=col]"
    assert window.run(f"return document.querySelectorAll('{heads}').length") == 5
    caption = "return document.querySelector('[data-part=trials] caption').textContent"
    assert window.run(caption) == "Trials of the sweep, the best first"


def test_scores_of_different_rungs_are_told_apart(airflow: StubAirflow, window: Browser) -> None:
    trials = [trial(0, 0.8, 3, rung=0), trial(1, 0.7, 1, rung=1), trial(2, 0.6, 2, rung=1)]
    airflow.knows_result("RunaiBestTrialOperator", {"trial": 1, "trials": trials})
    window.open(airflow.url + "tab")
    window.until_text("lr-1", "[data-part=trials]")
    assert window.run(
        f"{_ROWS}.map(one => one.innerText.split('\\t').map(text => text.trim()))"
    ) == [
        ["1", "lr-1", "1", "lr 0.1", "0.7", ""],
        ["2", "lr-2", "1", "lr 0.2", "0.6", ""],
        ["3", "lr-0", "0", "lr 0", "0.8", ""],
    ]
    bars = "return [...document.querySelectorAll('[data-bar]')].map(one => one.dataset.bar)"
    assert window.run(bars) == ["100%", "0%"]


def test_trials_of_a_sweep_that_failed_are_shown(airflow: StubAirflow, window: Browser) -> None:
    airflow.knows_result("RunaiBestTrialOperator", {"trials": [trial(0, problem="why")]}, "failed")
    window.open(airflow.url + "tab")
    window.until_text("why", "[data-part=trials]")
    assert window.run("return document.querySelectorAll('[data-bar]').length") == 0


def test_hostile_trials_are_text_and_no_more_than_a_page_holds(
    airflow: StubAirflow, window: Browser
) -> None:
    odd = [7, None, "text", {}, {"rank": "first", "score": "high", "parameters": [1], "name": {}}]
    hostile = trial(0, 1e308, 1, name=_HOSTILE, parameters={_HOSTILE: _HOSTILE}, problem=_HOSTILE)
    long = trial(1, -1e308, 2, problem="x" * 100_000, parameters={f"p{n}": n for n in range(999)})
    many = [trial(n, 0.0, n) for n in range(3, 1000)]
    airflow.knows_result("RunaiBestTrialOperator", {"trials": [*odd, hostile, long, *many]})
    window.open(airflow.url + "tab")
    window.until_text(_HOSTILE, "[data-part=trials] table")
    assert window.run(f"{_ROWS}.length") == 200
    assert "… and 801 more, in this task's XCom." in window.text("[data-part=trials]")
    assert len(window.text("[data-part=trials]")) < 20_000
    assert window.run("return [window.hurt ?? null, document.querySelectorAll('img').length]") == [
        None,
        0,
    ]
