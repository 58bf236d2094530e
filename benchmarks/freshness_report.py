"""The section of RESULTS.md on freshness, from results/freshness.json."""

from collections.abc import Mapping, Sequence
from typing import Any

Values = Mapping[str, Any]


def freshness_section(found: Values) -> str:
    """Every part that was measured, in words and tables; those that were not are named at the end."""
    makers = {"speed": _speed, "settings": _settings, "retention": _retention, "position": _position, "order": _order}
    missing = [name for name in makers if name not in found]
    told = [make(found[name]) for name, make in makers.items() if name in found]
    return "\n\n".join([*told, *([f"Not measured: {', '.join(missing)}."] if missing else [])])


def _rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    from benchmarks.report import table

    return table(head, body)


def _share(interval: Values | None) -> str:
    """A figure with its interval; a dash where there is none."""
    if interval is None:
        return "-"
    return f"{interval['value']:.2f} ({interval['low']:.2f} to {interval['high']:.2f})"


def _speed(part: Values) -> str:
    """What the record's questions take."""
    body = [[name, f"{step['wall_s']:.1f}", f"{step['cpu_s']:.1f}"] for name, step in part["seconds"].items()]
    replay = part["replay"]
    return (
        f"**Speed**, a made home of {part['facts']:,} facts ({part['ledger_entries']:,} ledger entries), no model:\n\n"
        f"{_rows(['step', 'wall s', 'CPU s'], body)}\n\n"
        f"Peak {part['peak_rss_mb']:.0f} MB, the making of the home included. Replay: coverage "
        f"{_share(replay['coverage'])}, the same state: {'yes' if replay['same_state'] else 'NO'}."
    )


def _settings(part: Values) -> str:
    """The three settings by slice, and which differ."""
    body = []
    for one in part["scores"]:
        stale, refused = one["outcomes"]["out_of_date"]["interval"], one["outcomes"]["refused"]["interval"]
        body.append(
            [one["setting"], one["slice"], str(one["n"]), *map(_share, (one["right"]["interval"], stale, refused))]
        )
    head = ["setting", "questions", "n", "right", "out of date", "refused"]
    differ = [
        f"{one['slice']}, {one['measure'].replace('_', ' ')}: {one['after']} less {one['before']} "
        f"{one['difference']['value']:+.2f} ({one['difference']['low']:+.2f} to {one['difference']['high']:+.2f})"
        for one in part["comparisons"]
        if one["differs"]
    ]
    return (
        f"**Three settings**, the same {part['n']} questions on {part['day']}; offline is the frozen snapshot of "
        f"release {part['frozen']}, the other two are release {part['release']}. Right is a fresh answer where one "
        f"holds and a refusal where none does.\n\n{_rows(head, body)}\n\n"
        f"Different after Holm's correction over {len(part['comparisons'])} comparisons (exact McNemar): "
        f"{'; '.join(differ) or 'none'}."
    )


def _retention(part: Values) -> str:
    """Recall and recognition after later edits."""
    blocks = []
    for name in ("shipped", "alone"):
        if name not in part:
            continue
        abilities = [part[name][kind] for kind in ("recall", "recognition")]
        body = [
            [edits, str(abilities[0]["curve"][edits]["n"]), *(_share(one["curve"][edits]) for one in abilities)]
            for edits in sorted(abilities[0]["curve"], key=int)
        ]
        told = "; ".join(
            f"{one['ability']}: half-life {one['half_life']['words']}, slope per 100 edits {_share(one['slope'])}"
            for one in abilities
        )
        blocks.append(f"{name}:\n\n{_rows(['later edits', 'n', 'recall', 'recognition'], body)}\n\n{told}.")
    about = f"**Retention**, MEMIT, {part['n']} edits in groups of {part['group']}, one group onto the other"
    kinds = [part[name][kind] for name in ("shipped", "alone") if name in part for kind in ("recall", "recognition")]
    if len(blocks) > 1 and not any(one["half_life"]["lost"] for one in kinds):
        blocks.append("Nothing was lost in either: with so few edits the control does not tell, nor do the figures.")
    return f"{about}; " + "\n\n".join(blocks)


def _position(part: Values) -> str:
    """Where the supporting fact stands, and among how many."""
    body = [
        [size, *(_share(part["curve"][size][place]) for place in ("first", "middle", "last"))]
        for size in sorted(part["curve"], key=int)
    ]
    middle = ", ".join(f"{one['size']}: {one['difference']['value']:+.2f}" for one in part["middle"])
    piled = ", ".join(
        f"{one['size']}: {one['difference']['value']:+.2f} (adjusted p {one['adjusted']:.3g})" for one in part["piled"]
    )
    return (
        f"**Position and length**, {part['n']} questions whose object was exchanged. The resolved fact alone, which "
        f"is what the product hands over: {_share(part['alone'])}. Among others of its relation:\n\n"
        f"{_rows(['facts', 'first', 'middle', 'last'], body)}\n\n"
        f"Middle less the mean of both ends, by size: {middle}. Middle of a pile less the fact alone: {piled}. "
        f"Per doubling of the pile: {_share(part['length'])}."
    )


def _order(part: Values) -> str:
    """Which came first, and the events of the record."""
    panel, record = part["panel"], part["record"]
    model = part.get("model")
    said = f"; the model, asked to choose: {_share(model['order'])}" if model else ""
    first = f" (it names the first of the two in {_share(model['said_first'])})" if model else ""
    return (
        f"**Order and anchoring**, the leader timeline taken in by admission ({part['events']['true']} dated events, "
        f"{part['events']['recorded']} recorded): event F1 {panel['event_f1']:.3f}, TAE over {panel['window_days']} "
        f"days {_share(panel['anchoring_error'])}. Which of two successive holders came first, {part['pairs']} pairs: "
        f"the record {_share(record['order'])}, with {record['refused']} refused, of those it answers "
        f"{_share(part['record_answered'])}{said}{first}."
    )
