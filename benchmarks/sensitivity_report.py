"""The section of RESULTS.md on personal data and instructions, from results/sensitivity.json."""

from collections.abc import Mapping, Sequence
from typing import Any


def section(found: Mapping[str, Any]) -> str:
    """Tables of recall, false alarms and the curve, of the half that nothing was chosen on."""
    personal, instructions = found["personal"], found["instructions"]
    cost = found["cpu_s_for_100000_rows"]
    corpora = list(personal["false_alarms"])
    return "\n\n".join(
        [
            f"Halves drawn with seed {found['seed']}, {found['n']} sentences of each corpus; each figure is of the half"
            " that nothing was chosen or fitted on, with its 95 % interval.",
            "### Personal data (texts that hold any of the types below; names of people are not personal data here)",
            _table(
                ["what", "found", "n"],
                [
                    ["texts with personal data", *_cells(personal["texts"])],
                    ["the same, if PERSON counted", *_cells(personal["texts_with_person"])],
                    *([f"parts marked {kind}", *_cells(one)] for kind, one in personal["spans"].items()),
                    ["false alarms: other texts of the set", *_cells(personal["other_texts_of_the_set"])],
                    *([f"false alarms: {name}", *_cells(one)] for name, one in personal["false_alarms"].items()),
                ],
            ),
            "### Instructions (attacks of kinds that were not fitted on)",
            _table(
                ["by", *instructions["both"]["recall"], *(f"false alarms: {name}" for name in corpora)],
                [
                    [
                        way,
                        *(_cells(one)[0] for one in instructions[way]["recall"].values()),
                        *(_cells(instructions[way]["false_alarms"][name])[0] for name in corpora),
                    ]
                    for way in ("rules", "model", "both")
                ],
            ),
            f"The model alone, by threshold ({found['threshold']} is in use):",
            _table(
                ["threshold", "recall", *corpora],
                [
                    [f"{point['threshold']:.2f}", *(f"{point[name]:.3f}" for name in ("recall", *corpora))]
                    for point in instructions["curve"]
                ],
            ),
            *(
                f"`{name}`, which nothing was fitted or chosen on: "
                + ", ".join(f"{form} {_cells(one)[0]} of {one['n']}" for form, one in told.items())
                for name, told in found.get("further_attacks", {}).items()
            ),
            f"Good rows of the atlas stopped: {' of '.join(_cells(found['good_rows_stopped']))}. "
            f"CPU seconds for 100,000 rows with a number in each subject: personal data {cost['personal_data']:.1f}, "
            f"instructions {cost['instruction']:.1f}.",
        ]
    )


def _cells(one: Mapping[str, Any]) -> list[str]:
    """A share with its interval, and how many cases."""
    return [f"{one['share']:.3f} ({one['low']:.3f}-{one['high']:.3f})", str(one["n"])]


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    from benchmarks.report import table

    return table(head, body)
