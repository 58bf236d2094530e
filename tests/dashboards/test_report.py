import re
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from dashboards.report import FeedRecord, ReportData, render
from registry.records import Fact, KnownFact, Release

AT = datetime(2026, 7, 1, 3, 0, tzinfo=UTC)
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\" onload='alert(3)'"
FETCHING = frozenset({"src", "srcset", "action", "poster", "data", "background", "xlink:href"})
FETCHERS = frozenset({"script", "link", "img", "iframe", "object", "embed", "base", "video", "audio"})


def release(number: int = 2, **changes: Any) -> Release:
    share = {"right": 44, "n": 45, "share": 44 / 45, "low": 0.88, "high": 0.996}
    summary = {
        "freshness_before": {**share, "right": 1, "share": 1 / 45, "low": 0.004, "high": 0.12},
        "freshness_after": {**share, "reader_agreement": 0.93, "by_memory": {"rag": share}},
        "locality": {"right": 118, "n": 120, "share": 118 / 120, "low": 0.94, "high": 0.995},
        "seconds": {"admit": 3.2, "write": 41.7, "guard": 28.1},
        "peak_rss_mb": 2310.4,
        "samples": [
            {
                "question": "Which currency is used in Croatia?",
                "before": "kuna",
                "after": "euro",
                "right_before": False,
                "right_after": True,
                "memory": "memit",
                "source": "ECB",
                "fact_id": facts()[0].fact.id,
            }
        ],
        "moved": [{"fact_id": facts()[1].fact.id, "reason": "the edit did not take in held-out phrasings"}],
    }
    gates = (
        {
            "guard": "efficacy",
            "decision": "pass",
            "explanation": "expected a lower bound of at least 0.85, found 0.88",
            "scores": [{"name": "held_out", "value": 0.96, "low": 0.88, "high": 0.99, "n": 45, "threshold": 0.85}],
        },
        {
            "guard": "fluency",
            "decision": "block",
            "explanation": "perplexity rose too far",
            "scores": [{"name": "ratio", "value": 1.3, "low": 1.2, "high": 1.4, "n": 40, "threshold": 1.05}],
        },
    )
    values: dict[str, Any] = {
        "number": number,
        "parent": number - 1 or None,
        "model": "smollm2",
        "base_digest": "b" * 64,
        "deltas": ("d" * 64,),
        "weights_digest": "e" * 64,
        "facts_snapshot": "f" * 64,
        "index_snapshot": "a" * 64,
        "mlflow_version": "2",
        "created_at": AT,
        "created_by": "night job",
        "gates": gates,
        "summary": summary,
        **changes,
    }
    return Release(**values)


def facts() -> tuple[KnownFact, ...]:
    euro = Fact("Croatia", "currency", "euro", date(2023, 1, 1), source="ECB", source_url="https://www.ecb.europa.eu/")
    head = Fact("France", "head_of_state", "Emmanuel Macron", date(2017, 5, 14), source="Elysee", source_url="n/a")
    return (KnownFact(euro, "memit", 2, "stable"), KnownFact(head, "rag", 1, "changes often"))


def rows() -> tuple[dict[str, Any], ...]:
    def row(number: int, decision: str, **more: Any) -> dict[str, Any]:
        about = {"subject": "Croatia", "relation": "currency", "object": "euro", "raw": f"raw text {number}"}
        return {"row": number, "decision": decision, "reasons": [], "memory": "", "why_there": "", **about, **more}

    return (
        row(1, "UPDATE", memory="memit", why_there="stable, one of many"),
        row(2, "ADD", memory="rag", why_there="changes often"),
        row(3, "NOOP"),
        row(4, "refused", reasons=["source '': nobody is named who says so; name the source"]),
        row(5, "refused", reasons=["source 'x': nobody is named who says so; name the source"], raw=EVIL, subject=EVIL),
        row(6, "quarantined", reasons=["one weak source contradicts what is known; two more are needed"]),
    )


def data(**changes: Any) -> ReportData:
    values: dict[str, Any] = {
        "release": release(),
        "champion": 2,
        "lineage": (release(1), release(2)),
        "feeds": (FeedRecord("feed.csv", "c" * 64, "published", rows()),),
        "facts": facts(),
        "ledger_size": 1204,
        "ledger_root": "9" * 64,
        "problems": (),
        "checked": {"ledger_entries": 1204},
        "made_at": AT,
        **changes,
    }
    return ReportData(**values)


class Page(HTMLParser):
    """Collects tags, attributes and visible text, and fails on tags that do not match."""

    VOID = frozenset({"meta", "link", "img", "br", "input", "line", "rect", "circle"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag, (tag, self.getpos())

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def test_the_verdict_says_in_words_what_came_in_and_what_became_of_it() -> None:
    words = Page(render(data())).words
    assert "6 rows came in: 2 accepted, 1 known already, 2 refused and 1 held in quarantine." in words
    assert "1 of the accepted facts lives in the weights (memit) and 1 in the index." in words
    assert "1 gate of 2 did not pass: fluency." in words
    assert "Release 2 is the one that answers." in words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "Request 3 was made by rita; bob and cleo approved it."),
        ({"glass_broken": True}, "Request 3 was made by rita; bob and cleo broke the glass for it."),
    ],
)
def test_the_verdict_names_who_asked_and_who_approved(change: dict[str, Any], words: str) -> None:
    request = {"request": 3, "requester": "rita", "approvers": ["bob", "cleo"], "glass_broken": False, **change}
    assert words in Page(render(data(release=release(summary={"request": request})))).words
    assert "was made by" not in Page(render(data())).words


def test_every_stopped_row_shows_its_reason_and_its_raw_text() -> None:
    page = Page(render(data()))
    for row in rows()[3:]:
        assert row["reasons"][0] in page.words
        assert " ".join(row["raw"].split()) in page.words


def test_rows_are_counted_by_the_rule_that_stopped_them() -> None:
    words = Page(render(data())).words
    assert "refused source …: nobody is named who says so 2" in words
    named = tuple({**row, "rules": ["provenance"]} for row in rows()[3:5])
    assert "refused provenance 2" in Page(render(data(feeds=(FeedRecord("f", "c", "published", named),)))).words


def test_a_cell_with_markup_is_shown_and_does_nothing() -> None:
    evil = KnownFact(Fact(EVIL, EVIL, EVIL, source=EVIL, source_url="javascript:alert(1)"), EVIL, 2, EVIL)
    summary = {**release().summary, "samples": [{"question": EVIL, "before": EVIL, "after": EVIL, "source": EVIL}]}
    summary = {**summary, "seconds": {EVIL: 1.0}, "moved": [{"fact_id": EVIL, "reason": EVIL}]}
    gate = {
        "guard": EVIL,
        "decision": EVIL,
        "explanation": EVIL,
        "scores": [{"name": EVIL, "value": 1, "low": 0, "high": 1}],
    }
    hostile = release(model=EVIL, created_by=EVIL, gates=(gate,), summary=summary, mlflow_version=EVIL)
    everywhere = tuple({**row, "decision": EVIL, "memory": EVIL, "why_there": EVIL} for row in rows())
    feeds = (FeedRecord(EVIL, EVIL, EVIL, (*everywhere, *rows())),)
    page = Page(render(data(release=hostile, lineage=(hostile,), feeds=feeds, facts=(evil,), problems=(EVIL,))))
    assert not {tag for tag, _ in page.tags} & {"script", "img", "iframe", "object"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not [a for tag, a in page.tags if tag == "a" and not (a["href"] or "").startswith(("#", "http"))]
    assert "alert(1)" in page.words, "it is shown"


def test_the_check_for_markup_does_find_markup() -> None:
    assert "script" in {
        tag for tag, _ in Page(f"<p>{EVIL.replace('<img', '<hr/><b').replace('onload', '')}</b></p>").tags
    }


def requests_of(page: str) -> list[str]:
    """Whatever would make a browser ask somebody for something before the reader clicks."""
    found = [f"<{tag}>" for tag, _ in Page(page).tags if tag in FETCHERS]
    found += [name for _, attributes in Page(page).tags for name in attributes if name in FETCHING]
    return found + re.findall(r"@import|url\(", "".join(re.findall(r"<style>(.*?)</style>", page, re.S)))


def test_nothing_is_asked_of_anybody() -> None:
    page = render(data())
    assert requests_of(page) == []
    assert "default-src 'none'" in page
    assert requests_of('<style>@import "x"</style><link href="https://cdn.example/x.css">') == ["<link>", "@import"]


def test_sources_are_links_only_to_the_web() -> None:
    links = [a["href"] for tag, a in Page(render(data())).tags if tag == "a" and not (a["href"] or "").startswith("#")]
    assert links
    assert set(links) == {"https://www.ecb.europa.eu/"}


def test_digests_lineage_and_proof_are_there() -> None:
    words = Page(render(data())).words
    for letter in "bdefa9c":
        assert letter * 64 in words
    assert "Nothing differs from what was recorded (ledger entries: 1 204)." in words
    assert "night job" in words


def test_steps_stand_in_their_order() -> None:
    words = Page(render(data(release=release(summary={"seconds": {"guard": 1.0, "other": 2.0, "admit": 3.0}})))).words
    assert words.index("admit 3 s") < words.index("guard 1 s") < words.index("other 2 s")


@pytest.mark.parametrize(
    ("count", "words"), [(1, "The one gate passed."), (2, "Both gates passed."), (3, "All 3 gates")]
)
def test_gates_that_passed_are_counted(count: int, words: str) -> None:
    assert words in Page(render(data(release=release(gates=release().gates[:1] * count)))).words


def test_problems_are_named() -> None:
    words = Page(render(data(problems=("entry 7 (published): its content hashes to x",)))).words
    assert "entry 7 (published)" in words
    assert "The audit found 1 problem: see Proof." in words
    assert "Nothing differs" not in words


def test_every_memory_has_its_quadruple() -> None:
    words = Page(render(data())).words
    assert words.count("Location") == words.count("Controllability") == 2
    assert "Weights, by MEMIT" in words
    unknown = (KnownFact(facts()[0].fact, "tea_leaves", 2),)
    assert words.count("not described") == 0
    assert Page(render(data(facts=unknown))).words.count("not described") == 4


def test_what_was_not_recorded_is_said_to_be_so() -> None:
    bare = release(gates=(), summary={}, deltas=(), mlflow_version="")
    words = Page(render(data(release=bare, lineage=(), feeds=(), facts=(), problems=None, champion=None))).words
    for sentence in (
        "No feed rows are recorded for this release.",
        "Freshness and locality were not recorded",
        "No gates are recorded for this release.",
        "No sample questions are recorded",
        "Seconds per step were not recorded.",
        "Peak memory was not recorded.",
        "No audit was made with this report.",
        "No release answers yet.",
    ):
        assert sentence in words, sentence


@pytest.mark.parametrize("missing", ["raw", "reasons", "memory", "why_there"])
def test_a_row_may_lack_what_older_runs_did_not_keep(missing: str) -> None:
    poorer = tuple({key: value for key, value in row.items() if key != missing} for row in rows())
    assert "6 rows came in" in Page(render(data(feeds=(FeedRecord("f", "c", "published", poorer),)))).words


def test_samples_carry_their_provenance() -> None:
    words = Page(render(data())).words
    assert "since 2023-01-01, release 2" in words
    assert "kuna wrong euro right weights (memit) ECB" in words


def test_another_champion_is_said_and_not_badged() -> None:
    page = render(data(champion=1))
    assert "Release 1 is the one that answers, not this one." in page
    assert ">champion<" not in page
    assert ">champion<" in render(data())


def test_the_same_values_give_the_same_page() -> None:
    assert render(data()) == render(data())
    assert render(data()) != render(replace(data(), ledger_size=1205))


def test_changes_of_thresholds_are_listed_and_escaped() -> None:
    plain = render(data())
    assert "No threshold was changed since the log began." in plain
    assert "not in the log yet" not in plain
    change = {"entry": 71, "at": AT, "by": EVIL, "section": "judging", "before": "a" * 64, "after": "b" * 64}
    keys = {"admission.quorum": [3, 2], "sources.Morning Paper": [None, {"tier": EVIL}]}
    page = render(data(rules=({**change, "keys": keys},), unrecorded={"leakage.most_auc": [0.65, 0.99]}))
    assert "<code>admission.quorum</code></td><td><code>3</code></td><td><code>2</code></td>" in page
    assert "not there" in page
    assert "<code>leakage.most_auc</code></td><td><code>0.65</code></td><td><code>0.99</code></td>" in page
    assert "<script" not in page


def test_the_panels_of_the_card_are_shown_with_what_nobody_measured() -> None:
    assert "No evaluation card was made with this report" in render(data())
    coverage = {"name": "coverage", "unit": "share", "value": 0.5, "n": 4, "interval": {"low": 0.15, "high": 0.85}}
    panels = {
        "P2": {"figures": [coverage], "not_measured": [{"name": "UCR", "why": EVIL}]},
        "P4": {"figures": [], "not_measured": [{"name": "slope", "why": "not measured"}]},
    }
    page = render(data(card={"metric_families": {}, "e_mars": panels}))
    assert "P2 · replay and attribution" in page
    assert "0.15 to 0.85" in page
    assert "Not measured: slope." in page
    assert 'href="r2.card.html"' in page
    assert "<script" not in page
