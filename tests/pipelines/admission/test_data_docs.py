"""Data docs: every expectation is told, and the rows that fail it, as they were recorded."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashboards.report import PAGES
from guards.admission import AdmissionPolicy, Reason
from pipelines.admission.data_docs import data_docs
from pipelines.admission.expectations import check_structure, checks
from pipelines.admission.feed import read_feed

AT = datetime(2026, 3, 1, tzinfo=UTC)
FEED = (
    "subject,relation,object,source,confidence,valid_from\n"
    "France,capital,Paris,Gazette,0.9,\n"
    ",capital,Rome,Gazette,1,\n"
    "Peru,capital,Lima,Gazette,much,2020-13-45\n"
    "Chad,capital,<b>N'Djamena</b>,Gazette,+44 20 7946 0958,1.1.2020\n"
)


def recorded(folder: Path) -> list[dict[str, Any]]:
    """The rows of `FEED` as a run records them, as far as the suite goes."""
    path = folder / "feed.csv"
    path.write_text(FEED, encoding="utf-8")
    findings = check_structure(read_feed(path), AdmissionPolicy()).findings
    rows = []
    for row in range(1, 5):
        reasons = [Reason.of(verdict) for verdict in findings.get(row, ())]
        rows.append({"row": row, "rules": [one.rule for one in reasons], "reasons": [one.words for one in reasons]})
    return rows


def test_every_expectation_is_told_with_the_rows_that_fail_it(tmp_path: Path) -> None:
    found = data_docs(recorded(tmp_path), AdmissionPolicy())
    assert (found["rows"], found["other"], len(found["checks"])) == (4, 0, len(checks(AdmissionPolicy())))
    failed = {(one["column"], one["expected"]): one for one in found["checks"] if one["failed"]}
    assert {key[0]: one["rows"] for key, one in failed.items()} == {
        "subject": [2],
        "confidence": [3, 4],
        "valid_from": [4],
    }
    confidence = next(one for key, one in failed.items() if key[0] == "confidence")
    assert confidence["examples"] == ["much", "+…8"], "a phone number is masked"
    assert next(one for one in found["checks"] if one["column"] == "op")["expected"] == "is one of ADD, UPDATE, DELETE"


def test_what_did_not_run_and_what_is_no_longer_expected_is_said() -> None:
    rows: list[dict[str, Any]] = [
        {"row": 1, "rules": ["structure"], "reasons": ["op 'x': the check did not run (boom); run it again"]},
        {"row": 2, "rules": ["structure"], "reasons": ["object 'x': is not a colour; write a colour"]},
        {"row": 3, "rules": ["personal_data"], "reasons": ["object 'a…b': holds a phone number; leave it out"]},
        {"row": 4, "rules": ["shape"], "reasons": ["mend the row"]},
        {"row": 5},
    ]
    found = data_docs(rows, AdmissionPolicy())
    assert {name: found[name] for name in ("rows", "broken", "untold", "other")} == {
        **{"rows": 4, "broken": 1, "untold": 1, "other": 1}
    }
    assert [one["column"] for one in found["checks"] if one["not_run"]] == ["op"]
    assert not any(one["failed"] for one in found["checks"])


def test_the_page_shows_cells_as_text_and_asks_nobody(tmp_path: Path) -> None:
    from jinja2 import Environment, FileSystemLoader

    engine = Environment(loader=FileSystemLoader(PAGES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    engine.filters["number"] = str
    rows = [{"row": 7, "rules": ["structure"], "reasons": ["op '<script>x</script>': is not known; use ADD"]}]
    page = engine.get_template("expectations.html.j2").render(
        expectations=data_docs(rows, AdmissionPolicy()), empty=lambda words: words
    )
    assert "&lt;script&gt;x" in page
    assert "<script" not in page
    assert "http" not in page
    assert ">7<" in page
