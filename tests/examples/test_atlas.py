"""What the atlas promises: true facts in the catalogue's words, feeds with a truth for every row, no slip between."""

import csv
import re
from collections import Counter, defaultdict
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from registry.catalogue import OBJECT, SUBJECT, Catalogue
from registry.errors import InputError
from registry.text import normalise

ATLAS = Path(__file__).parents[2] / "examples" / "atlas"
COLUMNS = ["subject", "relation", "object", "valid_from", "valid_to", "source", "source_url", "observed_at"]
COLUMNS += ["confidence", "sensitivity"]
AS_OF = date(2023, 12, 31)
GOOD = {"change", "correction", "new", "noop", "retirement", "disputed", "volatile"}
BAD = {
    "no_source", "malformed_date", "future_valid_from", "ends_before_begins", "wrong_object_type", "unknown_relation",
    "empty_cell", "overlong_cell", "duplicate_in_other_words", "older_than_known", "lone_weak_contradiction",
    "personal_data", "hidden_instruction", "hidden_character", "copied_falsehood", "bad_confidence", "unknown_op",
    "unknown_sensitivity", "impersonated_source",
}  # fmt: skip
STABLE = {"capital", "currency", "official_language", "largest_city", "continent", "chemical_symbol"}
SIZES = {"feed.csv": (200, 300, 40), "feed_small.csv": (60, 80, 25)}

Row = dict[str, str]


def read(name: str) -> list[Row]:
    """The rows of one of the atlas's tables."""
    with (ATLAS / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.read(ATLAS / "relations.yaml")


@pytest.fixture(scope="module")
def facts() -> list[Row]:
    return read("facts.csv")


@pytest.fixture(scope="module")
def truth() -> dict[str, dict[int, Row]]:
    table: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in read("feed_truth.csv"):
        assert int(row["row"]) not in table[row["feed"]], f"{row['feed']} row {row['row']} is judged twice"
        table[row["feed"]][int(row["row"])] = row
    return table


def judged(name: str, truth: dict[str, dict[int, Row]]) -> list[tuple[Row, Row]]:
    """The rows of a feed with their truth."""
    return [(row, truth[name][number]) for number, row in enumerate(read(name), start=1)]


def known_about(catalogue: Catalogue, facts: list[Row]) -> dict[tuple[str, str], list[Row]]:
    """The facts by canonical subject and relation."""
    table: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for fact in facts:
        table[key(catalogue, fact)].append(fact)
    return table


def key(catalogue: Catalogue, row: Row) -> tuple[str, str]:
    """Whom and what a row is about."""
    return normalise(catalogue.canonical(row["subject"])), row["relation"]


def test_catalogue_has_enough_relations_with_enough_phrasings(catalogue: Catalogue) -> None:
    assert len(catalogue.relations) >= 12
    assert catalogue.as_of == AS_OF.isoformat()
    for relation in catalogue.relations.values():
        clozes = (relation.prompt, *relation.paraphrases, *relation.held_out)
        assert len(relation.paraphrases) >= 4, relation.name
        assert len(relation.held_out) >= 2, relation.name
        assert len({normalise(cloze) for cloze in clozes}) == len(clozes), f"{relation.name} repeats a phrasing"
        assert relation.question.endswith("?"), relation.name
        assert relation.statement.endswith("."), relation.name
        assert relation.cues, relation.name


def test_templates_hold_their_slot_once_and_early(catalogue: Catalogue) -> None:
    for relation in catalogue.relations.values():
        for cloze in (relation.prompt, *relation.paraphrases, *relation.held_out):
            assert cloze.count(SUBJECT) == 1, cloze
            assert OBJECT not in cloze, cloze
            assert cloze.index(SUBJECT) <= 50, f"the subject stands late in {cloze!r}"
            assert cloze[-1].isalpha() or cloze[-1] in "},", f"something stands between {cloze!r} and its object"
        assert relation.statement.count(SUBJECT) == relation.statement.count(OBJECT) == 1


def test_types_are_patterns_and_every_relation_uses_known_ones(catalogue: Catalogue) -> None:
    assert all(re.compile(pattern) for pattern in catalogue.types.values())
    for relation in catalogue.relations.values():
        assert {relation.subject_type, relation.object_type} <= set(catalogue.types), relation.name


def test_no_name_belongs_to_two_things(catalogue: Catalogue) -> None:
    owner: dict[str, str] = {}
    for name, others in catalogue.aliases.items():
        for form in (name, *others):
            assert owner.setdefault(normalise(form), name) == name, f"{form!r} is {owner[normalise(form)]} and {name}"


def test_aliases_never_make_a_rival_answer_right(catalogue: Catalogue, facts: list[Row]) -> None:
    objects = defaultdict(set)
    for fact in facts:
        objects[fact["relation"]].add(fact["object"])
    for relation, names in objects.items():
        forms = Counter(normalise(form) for name in names for form in {*map(normalise, catalogue.answers(name))})
        assert not [form for form, count in forms.items() if count > 1], relation


def test_facts_are_many_over_many_relations(catalogue: Catalogue, facts: list[Row]) -> None:
    assert 1000 <= len(facts) <= 1500
    assert list(facts[0]) == COLUMNS
    counts = Counter(fact["relation"] for fact in facts)
    assert set(counts) <= set(catalogue.relations)
    assert len(counts) >= 10
    assert min(counts.values()) >= 20
    assert max(counts.values()) <= 0.15 * len(facts)


def test_facts_are_whole_and_true_on_the_day(catalogue: Catalogue, facts: list[Row]) -> None:
    for fact in facts:
        relation = catalogue.relations[fact["relation"]]
        assert all(fact[column].strip() == fact[column] for column in COLUMNS)
        assert all(fact[column] for column in ("subject", "object", "source")), fact
        assert re.fullmatch(catalogue.types[relation.object_type], fact["object"]), fact
        assert re.fullmatch(catalogue.types[relation.subject_type], fact["subject"]), fact
        assert not fact["valid_from"] or date.fromisoformat(fact["valid_from"]) <= AS_OF, fact
        assert not fact["valid_to"], fact
        assert date.fromisoformat(fact["observed_at"]) <= AS_OF, fact
        assert 0 < float(fact["confidence"]) <= 1, fact
        assert fact["sensitivity"] == "public", fact


def test_no_fact_stands_twice_and_one_means_one(catalogue: Catalogue, facts: list[Row]) -> None:
    for about, group in known_about(catalogue, facts).items():
        objects = [normalise(catalogue.canonical(fact["object"])) for fact in group]
        assert len(set(objects)) == len(objects), f"{about} is repeated"
        if catalogue.relations[about[1]].cardinality == "one":
            assert len(objects) == 1, f"{about} has {objects}"


def test_leaders_say_since_when(facts: list[Row]) -> None:
    leaders = [fact for fact in facts if fact["relation"].startswith("head_of")]
    assert len(leaders) >= 200
    assert not [fact for fact in leaders if not fact["valid_from"]]


def test_sources_are_listed(facts: list[Row], truth: dict[str, dict[int, Row]]) -> None:
    listed = yaml.safe_load((ATLAS / "sources.yaml").read_text(encoding="utf-8"))["sources"]
    assert {values["tier"] for values in listed.values()} == {"authoritative", "established", "weak"}
    assert {fact["source"] for fact in facts} <= set(listed)
    for feed in SIZES:
        for row, verdict in judged(feed, truth):
            if verdict["kind"] in GOOD:
                values = listed[row["source"]]
                host = row["source_url"].split("/")[2] if row["source_url"] else ""
                fits = [domain for domain in values["domains"] if host == domain or host.endswith(f".{domain}")]
                assert values["tier"] != "weak", row
                assert not host or fits, row
    domains = Counter(domain for values in listed.values() for domain in values["domains"] if domain != "un.org")
    assert max(domains.values()) == 1


@pytest.mark.parametrize("feed", SIZES)
def test_feed_has_its_size_and_its_kinds(feed: str, truth: dict[str, dict[int, Row]]) -> None:
    least, most, bad = SIZES[feed]
    rows = read(feed)
    assert least <= len(rows) <= most
    assert list(rows[0]) == [*COLUMNS, "op"]
    assert sorted(truth[feed]) == list(range(1, len(rows) + 1))
    kinds = Counter(verdict["kind"] for verdict in truth[feed].values())
    assert set(kinds) <= GOOD | BAD
    assert set(kinds) >= GOOD
    assert len(set(kinds) & BAD) >= 12
    assert sum(kinds[kind] for kind in BAD) >= bad


@pytest.mark.parametrize("feed", SIZES)
def test_truth_is_consistent(feed: str, truth: dict[str, dict[int, Row]]) -> None:
    allowed = {
        "change": {"UPDATE"}, "volatile": {"UPDATE", "ADD"}, "correction": {"ADD"}, "new": {"ADD"}, "noop": {"NOOP"},
        "retirement": {"DELETE"}, "disputed": {"quarantined"}, "lone_weak_contradiction": {"quarantined"},
        "copied_falsehood": {"quarantined"}, "impersonated_source": {"quarantined"},
        "duplicate_in_other_words": {"NOOP"},
    }  # fmt: skip
    for verdict in truth[feed].values():
        assert verdict["expected"] in allowed.get(verdict["kind"], {"refused"}), verdict
        assert verdict["why"]
        assert verdict["falsehood"] in {"true", "false"}
        assert verdict["falsehood"] == "false" or verdict["expected"] in {"refused", "quarantined"}, verdict


@pytest.mark.parametrize("feed", SIZES)
def test_what_comes_in_fits_what_is_known(
    feed: str, catalogue: Catalogue, facts: list[Row], truth: dict[str, dict[int, Row]]
) -> None:
    known = known_about(catalogue, facts)
    repeats = []
    for row, verdict in judged(feed, truth):
        about = known.get(key(catalogue, row), [])
        same = [fact for fact in about if catalogue.same(fact["object"], row["object"])]
        expected = verdict["expected"]
        if expected == "ADD":
            many = catalogue.relations[row["relation"]].cardinality == "many"
            assert not same if many else not about, row
        elif expected == "UPDATE":
            assert len(about) == 1, row
            assert not same, row
            assert date.fromisoformat(row["valid_from"]) > date.fromisoformat(about[0]["valid_from"] or str(AS_OF)), row
        elif expected == "DELETE":
            assert row["op"] == "DELETE", row
            assert row["valid_to"], row
            assert len(same) == 1, row
        elif expected == "NOOP" and not same:
            repeats.append(row)
    rows = [row for row, verdict in judged(feed, truth) if verdict["expected"] in {"ADD", "UPDATE"}]
    for row in repeats:
        twins = [each for each in rows if key(catalogue, each) == key(catalogue, row)]
        assert any(catalogue.same(each["object"], row["object"]) for each in twins), row


@pytest.mark.parametrize("feed", SIZES)
def test_accepted_rows_are_sound_and_say_one_thing_each(
    feed: str, catalogue: Catalogue, truth: dict[str, dict[int, Row]]
) -> None:
    said: Counter[tuple[str, str, str]] = Counter()
    for row, verdict in judged(feed, truth):
        if verdict["kind"] not in GOOD:
            continue
        relation = catalogue.relations[row["relation"]]
        assert re.fullmatch(catalogue.types[relation.object_type], row["object"]), row
        begins = date.fromisoformat(row["valid_from"]) if row["valid_from"] else None
        assert begins is None or begins <= date.fromisoformat(row["observed_at"]) <= date(2026, 6, 30), row
        said[(*key(catalogue, row), row["object"] if relation.cardinality == "many" else "")] += 1
    disputed = {key(catalogue, row) for row, verdict in judged(feed, truth) if verdict["kind"] == "disputed"}
    assert all(count == 2 if about[:2] in disputed else count == 1 for about, count in said.items())


@pytest.mark.parametrize("feed", SIZES)
def test_corrections_are_on_stable_relations_and_not_yet_known(
    feed: str, catalogue: Catalogue, facts: list[Row], truth: dict[str, dict[int, Row]]
) -> None:
    known = known_about(catalogue, facts)
    corrections = [row for row, verdict in judged(feed, truth) if verdict["kind"] == "correction"]
    assert len(corrections) >= 20
    assert {row["relation"] for row in corrections} <= STABLE
    assert not [row for row in corrections if key(catalogue, row) in known]


def test_repeated_and_disputed_rows_stand_where_they_belong(
    catalogue: Catalogue, truth: dict[str, dict[int, Row]]
) -> None:
    for feed in SIZES:
        rows = judged(feed, truth)
        seen: set[tuple[str, str]] = set()
        for row, verdict in rows:
            if "a row before this one" in verdict["why"]:
                assert key(catalogue, row) in seen, row
            seen.add(key(catalogue, row))
        disputes = sorted(
            (key(catalogue, row), row["source"]) for row, verdict in rows if verdict["kind"] == "disputed"
        )
        assert len(disputes) % 2 == 0
        for one, other in list(pairwise(disputes))[::2]:
            assert one[0] == other[0]
            assert one[1] != other[1]


def test_the_small_feed_is_part_of_the_large_one() -> None:
    assert not [row for row in read("feed_small.csv") if row not in read("feed.csv")]


def test_personal_rows_name_invented_people_only(truth: dict[str, dict[int, Row]]) -> None:
    for feed in SIZES:
        personal = [(row, verdict) for row, verdict in judged(feed, truth) if verdict["kind"] == "personal_data"]
        assert personal
        for row, verdict in personal:
            assert "invented" in verdict["why"], row
            assert row["source_url"].endswith(".example/"), row


def test_a_catalogue_without_held_out_phrasings_is_refused(tmp_path: Path) -> None:
    raw = yaml.safe_load((ATLAS / "relations.yaml").read_text(encoding="utf-8"))
    raw["relations"]["capital"]["held_out"].pop()
    spoilt = tmp_path / "relations.yaml"
    spoilt.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    with pytest.raises(InputError, match="held out"):
        Catalogue.read(spoilt)
