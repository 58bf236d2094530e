import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.base import Decision
from guards.conflicts import Change, Effect
from guards.consensus import Claim, ConsensusGuard, Statement, Support, independent, support
from guards.sources import Source, Sources, Tier
from registry.records import Fact, RiskTier

SOURCES = Sources.of(
    [
        Source("Gazette", "authoritative", ("gazette.example",)),
        Source("Wire", "established", ("wire.example",)),
        Source("Evening Post", "weak", ("post.example",), copies="Rumour Mill"),
        Source("Rumour Mill", "weak", ("rumour.example",)),
    ]
)
KNOWN = Fact("Atlantis", "capital", "Posidonia", source="Wire")


def votes(*statements: Statement) -> int:
    return support(statements, SOURCES).votes


def backing(tier: Tier, count: int = 1, rows: int = 0) -> Support:
    return Support(count, rows or count, tier, {tier: count}, tuple(f"S{place}" for place in range(count)))


def decision(effect: Effect, by: Support, *rivals: Support, known: Tier = "weak", risk: RiskTier = "low") -> Decision:
    claim = Claim(Change(effect, "words", known=KNOWN), by, rivals, known, risk)
    return ConsensusGuard(high_risk_votes=2).judge(claim).decision


def test_three_who_share_nothing_are_three_votes() -> None:
    assert votes(*(Statement(f"Blog {each}", f"https://{each}.example/p") for each in "abc")) == 3


@pytest.mark.parametrize(
    "copies",
    [
        [Statement("One", "https://a.site.example/1"), Statement("Two", "https://b.site.example/2")],
        [Statement("One", "https://a.example"), Statement("the ONE", "https://b.example")],
        [Statement("Evening Post", ""), Statement("Rumour Mill", "")],
        [Statement("Other", "https://www.rumour.example"), Statement("Evening Post", "")],
        [Statement("One, via Rumour Mill", ""), Statement("Two (reprint of Rumour Mill)", "")],
        [Statement("Factz mirror 1", "https://a.example"), Statement("Factz CDN", "https://b.example")],
        [
            Statement("One", "https://a.example/2025/a-city-becomes-the-capital.html"),
            Statement("Two", "https://b.example/news/a-city-becomes-the-capital"),
        ],
        [
            Statement("One", "", "The city of Nowhere has become the capital of Atlantis on Monday"),
            Statement("Two", "", "the city of nowhere has become the capital of Atlantis on Monday!"),
        ],
    ],
)
def test_copies_are_one_vote(copies: list[Statement]) -> None:
    assert votes(*copies) == 1
    assert votes(*copies, Statement("Apart", "https://apart.example")) == 2


def test_a_chain_of_copies_is_one_vote() -> None:
    chain = [
        Statement("One", "https://x.example/1"),
        Statement("Two", "https://x.example/2"),
        Statement("Two", "https://y.example/1"),
        Statement("Three", "https://y.example/2"),
    ]
    assert independent(chain, SOURCES) == [[0, 1, 2, 3]]


def test_the_table_of_decisions() -> None:
    weak, quorum, wire, gazette = backing("weak"), backing("weak", 3), backing("established"), backing("authoritative")
    assert decision("NOOP", weak) == "pass"
    assert decision("older", gazette) == "block"
    changes: tuple[Effect, ...] = ("ADD", "UPDATE", "DELETE")
    for effect in changes:
        assert decision(effect, weak) == "escalate"
        assert decision(effect, backing("weak", 2, rows=9)) == "escalate"
        assert decision(effect, quorum) == "pass"
        assert decision(effect, wire) == "pass"
        assert decision(effect, wire, risk="high") == "escalate"
        assert decision(effect, backing("established", 2), risk="high") == "pass"
        assert decision(effect, gazette, risk="high") == "pass"


def test_a_contradiction_passes_only_over_a_less_trusted_known_fact() -> None:
    gazette = backing("authoritative")
    assert decision("contradiction", gazette, known="established") == "pass"
    assert decision("contradiction", gazette, known="authoritative") == "escalate"
    assert decision("contradiction", backing("established"), known="weak") == "escalate"
    assert decision("contradiction", backing("weak", 5), known="weak") == "escalate"


def test_credible_rivals_make_a_dispute_and_weak_ones_do_not() -> None:
    gazette, wire = backing("authoritative"), backing("established")
    assert decision("ADD", gazette, wire) == "escalate"
    assert decision("ADD", wire, gazette) == "escalate"
    assert decision("ADD", gazette, backing("weak", 2)) == "pass"
    assert decision("ADD", gazette, backing("weak", 3)) == "escalate"


def test_repetition_is_said_in_words() -> None:
    verdict = ConsensusGuard().judge(Claim(Change("ADD", "new"), backing("weak", 1, rows=7)))
    assert "1 independent weak source in 7 rows" in verdict.explanation
    assert verdict.scores[0].value == 1
    assert verdict.scores[0].threshold == 3


@given(st.lists(st.builds(Statement, st.text(), st.text(), st.text()), max_size=8))
def test_arbitrary_statements_never_raise_and_group_each_once(statements: list[Statement]) -> None:
    groups = independent(statements, SOURCES)
    assert sorted(place for group in groups for place in group) == list(range(len(statements)))


@given(st.lists(st.builds(Statement, st.text(), st.text()), min_size=1, max_size=6))
def test_repeating_statements_adds_no_vote(statements: list[Statement]) -> None:
    assert support(statements * 3, SOURCES).votes == support(statements, SOURCES).votes
