"""What differs between two releases: facts, deltas in the weights, gates, and what each answers about what changed."""

from collections.abc import Mapping, Sequence
from typing import Any

from registry.catalogue import SUBJECT
from registry.home import Home
from registry.records import KnownFact, Release


def diff(home: Home, old: str, new: str) -> dict[str, Any]:
    """Compare release `new` with release `old`.

    Args:
        home: where both are kept.
        old: a release's number or alias.
        new: another's.

    Returns:
        Plain values: `from` and `to` (numbers), `facts` (see `compare_facts`), `deltas` (`added`, `removed`: digests),
        `same_base`, `same_weights`, `gates` (see `compare_gates`), `answers` (see `compare_answers`) and `pruned`:
        which of the two was pruned, so that their answers cannot be compared.

    Raises:
        InputError: there is no such release.
        IntegrityError: a snapshot or an index is not as recorded.
    """
    from registry.compactions import CompactionStore
    from registry.facts import FactStore, view
    from registry.ledger import Ledger
    from registry.pruning import PruningStore
    from registry.releases import ReleaseStore

    with Ledger.open(home) as ledger:
        store, facts = ReleaseStore(ledger), FactStore(ledger)
        before, after = store.get(old), store.get(new)
        pruned = PruningStore(ledger).releases.keys() & {before.number, after.number}
        first, second = (CompactionStore(ledger).expanded(release) for release in (before, after))
        known = [view(facts.events(store.lineage(release.number))) for release in (before, after)]
    facts_differ = compare_facts(*known)
    return {
        "from": before.number,
        "to": after.number,
        "same_base": first.base_digest == second.base_digest,
        "same_weights": before.weights_digest == after.weights_digest,
        "facts": facts_differ,
        "deltas": {
            "added": [digest for digest in second.deltas if digest not in first.deltas],
            "removed": [digest for digest in first.deltas if digest not in second.deltas],
        },
        "gates": compare_gates(before, after),
        "answers": []
        if pruned
        else compare_answers(home, before, after, [one for kind in facts_differ.values() for one in kind]),
        "pruned": sorted(pruned),
    }


def compare_answers(
    home: Home, old: Release, new: Release, entries: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What the two releases answer today to the question of every fact that differs, where the answers differ.

    The facts of each release answer, not its model: which object they resolve to is what changed.

    Args:
        home: where both are kept.
        old: a release.
        new: another.
        entries: the facts that differ, as `compare_facts` gives them.
    """
    from dataclasses import replace

    from pipelines.answer import open_answerer
    from pipelines.settings import Settings

    relations = Settings.load().catalogue.relations
    questions = list(
        dict.fromkeys(
            relations[one["relation"]].question.replace(SUBJECT, one["subject"])
            for one in entries
            if one["relation"] in relations
        )
    )
    if not questions:
        return []
    said = [
        [reply.text for reply in replace(open_answerer(home, release=one.number), loaded=None).ask_many(questions)]
        for one in (old, new)
    ]
    return [
        {"question": question, "before": before, "after": after}
        for question, before, after in zip(questions, *said, strict=True)
        if before != after
    ]


def compare_facts(old: Sequence[KnownFact], new: Sequence[KnownFact]) -> dict[str, list[dict[str, Any]]]:
    """Compare two sets of known facts by their ids.

    Returns:
        added: known only to the new one.
        removed: known only to the old one.
        ended: known to both, and its end differs.
        moved: known to both, and it lives in another memory.
    """
    before, after = ({known.fact.id: known for known in side} for side in (old, new))
    both = [(before[name], known) for name, known in after.items() if name in before]
    return {
        "added": [_entry(known) for name, known in after.items() if name not in before],
        "removed": [_entry(known) for name, known in before.items() if name not in after],
        "ended": [
            {**_entry(now), "valid_to_before": _day(then)}
            for then, now in both
            if then.fact.valid_to != now.fact.valid_to
        ],
        "moved": [{**_entry(now), "memory_before": then.memory} for then, now in both if then.memory != now.memory],
    }


def compare_gates(old: Release, new: Release) -> list[dict[str, Any]]:
    """The decision of every gate of either release, side by side; None where a release has no such gate."""
    before, after = ({str(gate.get("guard", "")): gate.get("decision") for gate in one.gates} for one in (old, new))
    names = dict.fromkeys([*before, *after])
    return [{"guard": name, "before": before.get(name), "after": after.get(name)} for name in names]


def lines(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What `diff` returns, for people: counts first, then each fact."""
    facts, deltas = values["facts"], values["deltas"]
    rows = [
        ("facts", ", ".join(f"{len(entries)} {kind}" for kind, entries in facts.items())),
        ("weights", "the same" if values["same_weights"] else "differ"),
        ("deltas", f"{len(deltas['added'])} added, {len(deltas['removed'])} removed"),
    ]
    if not values["same_base"]:
        rows.append(("base model", "differs"))
    for gate in values["gates"]:
        rows.append((f"gate {gate['guard']}", f"{gate['before'] or 'none'} → {gate['after'] or 'none'}"))
    for kind, entries in facts.items():
        rows += [(kind, _words(entry)) for entry in entries]
    rows += [("answers", f"r{number} was pruned: it cannot be asked any more") for number in values.get("pruned", ())]
    rows += [("answer", f"{one['question']} {one['before']} → {one['after']}") for one in values["answers"]]
    return rows


def _entry(known: KnownFact) -> dict[str, Any]:
    """One fact in plain values."""
    fact = known.fact
    return {
        "id": fact.id,
        "subject": fact.subject,
        "relation": fact.relation,
        "object": fact.object,
        "valid_from": fact.valid_from.isoformat() if fact.valid_from else None,
        "valid_to": _day(known),
        "source": fact.source,
        "memory": known.memory,
        "release": known.release,
    }


def _day(known: KnownFact) -> str | None:
    """The end of a fact as text."""
    return known.fact.valid_to.isoformat() if known.fact.valid_to else None


def _words(entry: Mapping[str, Any]) -> str:
    """One entry on one line."""
    words = f"{entry['subject']} · {entry['relation']} · {entry['object']}"
    if "memory_before" in entry:
        return f"{words} ({entry['memory_before']} → {entry['memory']})"
    if "valid_to_before" in entry:
        return f"{words} (ends {entry['valid_to'] or 'no more'}, before: {entry['valid_to_before'] or 'open'})"
    return f"{words} ({entry['memory']})"
