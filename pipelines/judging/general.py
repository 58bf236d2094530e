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
    import torch

    from editors.workers import side_by_side, side_by_side_rows

    tokenizer, model = loaded.tokenizer, loaded.model
    begun = [ids[:BEGINNING] for text in texts if len(ids := tokenizer(text, verbose=False)["input_ids"]) > BEGINNING]
    size = side_by_side_rows(model.device, len(begun), max(1, len(begun)))

    def write(rows: list[list[int]]) -> list[str]:
        given = torch.tensor(rows, device=model.device)
        with torch.inference_mode():
            said = model.generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
                pad_token_id=tokenizer.eos_token_id,
            )
        return [tokenizer.decode(row[BEGINNING:], skip_special_tokens=True) for row in said]

    batches = [begun[start : start + size] for start in range(0, len(begun), size)]
    with side_by_side(model.device, len(batches)) as run:
        return [text for batch in run(write, batches) for text in batch]
