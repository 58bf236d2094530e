import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.base import Decision
from guards.conflicts import Change, Effect
from guards.consensus import Claim, ConsensusGuard, Support, support
from guards.origins import Statement, independent
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
        [
            Statement("One", "", "The parliament of Atlantis voted on Monday to move its seat to the city of Nowhere"),
            Statement("Two", "", "The parliament of Atlantis decided on Monday to move the seat to city of Nowhere"),
        ],
    ],
)
def test_copies_are_one_vote(copies: list[Statement]) -> None:
    assert votes(*copies) == 1
    assert votes(*copies, Statement("Apart", "https://apart.example")) == 2


def test_other_words_for_the_same_are_another_vote() -> None:
    one = Statement("One", "", "The parliament of Atlantis voted on Monday to move its seat to the city of Nowhere")
    two = Statement("Two", "", "Nowhere is where the government will sit from Monday on, its lawmakers have agreed")
    assert votes(one, two) == 2


def test_a_source_without_a_vote_does_not_count() -> None:
    listed = Sources.of([Source("Mill", votes=False)])
    statements = [Statement("Mill"), Statement("Blog A"), Statement("Blog B")]
    found = support(statements, listed)
    assert (found.votes, found.rows, found.by_tier) == (2, 3, {"weak": 2})


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
        assert decision(effect, wire) == "escalate"
        assert decision(effect, backing("established", 2)) == "escalate"
        assert decision(effect, backing("established", 3)) == "pass"
        assert decision(effect, gazette, risk="high") == "pass"


def test_established_sources_pass_alone_where_the_policy_says_so() -> None:
    guard = ConsensusGuard(high_risk_votes=2, established_alone=True)
    change = Change("UPDATE", "words", known=KNOWN)
    assert guard.judge(Claim(change, backing("established"))).decision == "pass"
    assert guard.judge(Claim(change, backing("weak"))).decision == "escalate"
    assert guard.judge(Claim(change, backing("established"), risk_tier="high")).decision == "escalate"
    assert guard.judge(Claim(change, backing("established", 2), risk_tier="high")).decision == "pass"


def test_weak_sources_alone_end_no_fact_of_a_better_one() -> None:
    crowd, agencies = backing("weak", 50), backing("established", 3)
    for effect in ("UPDATE", "DELETE"):
        assert decision(effect, crowd, known="weak") == "pass"
        assert decision(effect, crowd, known="established") == "escalate"
        assert decision(effect, crowd, known="authoritative") == "escalate"
        assert decision(effect, agencies, known="authoritative") == "pass"
    assert decision("ADD", crowd) == "pass"


def test_s_div_over_tau_holds_back_what_the_rules_would_let_through() -> None:
    correction = Claim(
        Change("contradiction", "words", known=KNOWN), backing("authoritative"), known_tier="established"
    )
    assert correction.divergence == 0.25
    assert ConsensusGuard().judge(correction).decision == "pass"
    verdict = ConsensusGuard(tau=0.2).judge(correction)
    assert (verdict.decision, dict(verdict.evidence)["rule"]) == ("escalate", "divergence")
    assert verdict.scores[1].name == "divergence"
    assert (verdict.scores[1].value, verdict.scores[1].threshold) == (0.25, 0.2)


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
