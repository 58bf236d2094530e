"""What has nothing to do with the catalogue: general questions of a fixed set, and long texts that the model writes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editors.config import read_values
from pipelines.judging.probing import Question
from registry.errors import InputError

if TYPE_CHECKING:
    from editors.load import LoadedModel

BEGINNING = 16
"""Tokens of each running text from which the model goes on."""


def general_questions(path: Path) -> list[Question]:
    """The questions of the file, in its order: prompt and answers of each.

    Raises:
        InputError: the file is missing, or not a YAML list of pairs of a prompt and a list of answers.
    """
    if not path.is_file():
        raise InputError("a file of general questions", str(path), "name an existing one in policy.yaml")
    raw = read_values(path, "general questions")
    entries = raw.get("questions") if isinstance(raw, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise InputError(f"a mapping 'questions' from prompts to answers in {path}", type(raw).__name__, "mend it")
    return [
        Question("capability", f"general {number}", str(prompt), tuple(map(str, _listed(answers))))
        for number, (prompt, answers) in enumerate(entries.items(), 1)
    ]


def _listed(answers: Any) -> list[Any]:
    """One answer, or several."""
    return answers if isinstance(answers, list) else [answers]


def written_on(loaded: "LoadedModel", texts: Sequence[str], tokens: int) -> list[str]:
    """What the model writes after the first `BEGINNING` tokens of each text: `tokens` tokens, greedily, without a stop.

    Texts that are shorter are left out. All beginnings have one length, so that no row is padded.
    """
    from editors.decoding import Row, Rules, decode, end_tokens

    tokenizer, model = loaded.tokenizer, loaded.model
    begun = [tokenizer(text, verbose=False)["input_ids"] for text in texts]
    rows = [Row(ids[:BEGINNING]) for ids in begun if len(ids) > BEGINNING]
    decode(model, rows, Rules(tokens, banned=sorted(end_tokens(model, tokenizer))))
    return [tokenizer.decode(row.said, skip_special_tokens=True) for row in rows]
