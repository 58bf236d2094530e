import io
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from pipelines import console
from registry.progress import listening, track


@dataclass(frozen=True)
class Sample:
    day: date
    place: Path
    parts: tuple[int, ...]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def drawn(what: RenderableType) -> str:
    written = Console(file=io.StringIO(), width=100)
    written.print(what)
    text = written.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def test_json_of_records_dates_paths_and_sets() -> None:
    value = {
        "a": Sample(date(2024, 6, 30), Path("x/y"), (1, 2)),
        "b": {"z", "y"},
        "c": datetime(2024, 1, 1, tzinfo=UTC),
    }
    assert json.loads(console.to_json(value)) == {
        "a": {"day": "2024-06-30", "place": "x/y", "parts": [1, 2]},
        "b": ["y", "z"],
        "c": "2024-01-01T00:00:00+00:00",
    }


def test_json_keeps_the_letters() -> None:
    assert "Côte d'Ivoire" in console.to_json({"name": "Côte d'Ivoire"})


def test_show_prints_json_or_text_and_never_both(capsys: pytest.CaptureFixture[str]) -> None:
    console.show({"a": 1}, True, lambda: "text")
    assert json.loads(capsys.readouterr().out) == {"a": 1}
    console.show({"a": 1}, False, lambda: "text")
    assert capsys.readouterr().out.strip() == "text"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"add": 3, "rate": 0.123456}, "add 3, rate 0.1235"),
        (True, "yes"),
        ([], "none"),
        ({}, "none"),
        (list(range(10)), "0, 1, 2, 3, 4, 5, 6, 7, and 2 more"),
    ],
)
def test_values_in_words(value: object, words: str) -> None:
    assert console.phrase(value) == words


def test_text_is_never_taken_for_markup() -> None:
    assert "[red]x[/red]" in drawn(console.pairs("[bold]", [("name", "[red]x[/red]")]))
    assert "[red]" in drawn(console.records("t", [{"a": "[red]"}], "none"))


def test_a_table_without_rows_says_so() -> None:
    assert drawn(console.records("Releases", [], "none yet")).strip() == "none yet"


def test_a_line_is_never_folded(capsys: pytest.CaptureFixture[str]) -> None:
    console.show({}, False, lambda: "x" * 300)
    assert capsys.readouterr().out == "x" * 300 + "\n"


def listened(capsys: pytest.CaptureFixture[str], seconds: float, depth: int = 1) -> str:
    clock = Clock()
    with console.progress() as listener:
        listener.clock = clock
        with listening(listener):
            work(clock, seconds, depth)
    return capsys.readouterr().err


def work(clock: Clock, seconds: float, depth: int) -> None:
    with track(f"step {depth}", total=2) as advance:
        advance(1)
        if depth > 1:
            work(clock, seconds, depth - 1)
        clock.now += seconds
        advance(1)


def test_long_work_leaves_one_line_with_its_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    assert listened(capsys, 2.5) == "step 1 2.5 s\n"


def test_short_work_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert listened(capsys, 0.1) == ""


def test_inner_work_leaves_no_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert listened(capsys, 2.0, depth=3) == "step 3 6.0 s\n"


def test_an_error_in_the_work_passes_through(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="boom"), console.progress() as listener, listening(listener), track("a"):
        raise ValueError("boom")
    assert capsys.readouterr().err == ""
    assert not listener.open
