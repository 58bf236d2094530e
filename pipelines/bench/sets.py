"""Edits of the published sets, and of the project's own form, one record at a time."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.bench.rows import Asked, BenchRow, records
from pipelines.bench.score import ASKED
from registry.errors import InputError

Build = Callable[[Mapping[str, Any]], BenchRow]


def set_rows(path: Path, build: Build) -> list[BenchRow]:
    """The rows of a published set.

    Raises:
        InputError: the file cannot be read, or a record is not of the set's shape; names the place and the key.
    """
    return [_built(place, build, raw) for place, raw in records(path)]


def edits_rows(path: Path) -> list[BenchRow]:
    """The rows of a file in the project's own form.

    Raises:
        InputError: the file cannot be read, or a value is missing or of the wrong type; names the place and the key.
    """
    return [_edits_row(place, raw) for place, raw in records(path)]


def _built(place: str, build: Build, raw: Mapping[str, Any]) -> BenchRow:
    """Build a row, its shape checked.

    Raises:
        InputError: names the place and the key.
    """
    try:
        return build(raw)
    except KeyError as error:
        raise InputError(f"the key {error} in {place}", ", ".join(map(str, raw)), "check --format") from None
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(f"a row of this format in {place}", str(error), "check --format") from None


def _edits_row(place: str, raw: Mapping[str, Any]) -> BenchRow:
    """One row of the format `edits`; every value's type is checked."""

    def text(source: Mapping[str, Any], key: str, default: str | None = None) -> str:
        value = source.get(key, default) if isinstance(source, Mapping) else None
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise InputError(f"text under {key!r} in {place}", repr(value)[:80], "mend that row")
        return value.strip()

    def listed(key: str) -> list[Any]:
        value = raw.get(key) or []
        if not isinstance(value, list):
            raise InputError(f"a list under {key!r} in {place}", repr(value)[:80], "mend that row")
        return value

    def asked(key: str) -> tuple[Asked, ...]:
        return tuple(Asked(text(item, "prompt"), (text(item, "answer"),)) for item in listed(key))

    more: dict[str, Any] = {kind: asked(kind) for kind in ASKED}
    return BenchRow(
        text(raw, "subject"),
        text(raw, "relation", "") or "edit",
        text(raw, "prompt"),
        text(raw, "target_new"),
        text({key: value for key, value in raw.items() if value is not None}, "target_true", ""),
        paraphrases=tuple(text({"paraphrases": item}, "paraphrases") for item in listed("paraphrases")),
        question=text({key: value for key, value in raw.items() if value is not None}, "question", ""),
        **more,
    )


def counterfact(raw: Mapping[str, Any]) -> BenchRow:
    """One record of CounterFact."""
    rewrite = raw["requested_rewrite"]
    true = rewrite["target_true"]["str"]
    return BenchRow(
        rewrite["subject"],
        rewrite.get("relation_id", "edit"),
        rewrite["prompt"].replace("{}", rewrite["subject"]).strip(),
        rewrite["target_new"]["str"].strip(),
        true.strip(),
        paraphrases=tuple(prompt.strip() for prompt in raw.get("paraphrase_prompts", ())),
        neighbourhood=tuple(Asked(prompt.strip(), (true,)) for prompt in raw.get("neighborhood_prompts", ())),
    )


def zsre(raw: Mapping[str, Any]) -> BenchRow:
    """One record of zsRE; prompts are questions."""
    neighbours = (Asked(raw["loc"].strip(), (raw["loc_ans"],)),) if raw.get("loc") else ()
    return BenchRow(
        raw["subject"],
        "zsre",
        raw["src"].strip(),
        raw["alt"].strip(),
        (raw.get("answers") or [""])[0],
        paraphrases=(raw["rephrase"].strip(),) if raw.get("rephrase") else (),
        neighbourhood=neighbours,
    )


def knowedit(raw: Mapping[str, Any]) -> BenchRow:
    """One record of KnowEdit: aliases of the subject are test phrasings, all of locality is about the same subject."""
    portability, locality = raw.get("portability") or {}, raw.get("locality") or {}
    return BenchRow(
        raw["subject"],
        "edit",
        raw["prompt"].strip(),
        raw["target_new"].strip(),
        str(raw.get("ground_truth") or ""),
        paraphrases=tuple(one.prompt for one in _pairs(portability.get("Subject_Aliasing"))),
        same_subject=tuple(one for part in locality.values() for one in _pairs(part)),
        portability=tuple(
            one for name, part in portability.items() if name != "Subject_Aliasing" for one in _pairs(part)
        ),
    )


def _pairs(part: Any) -> Sequence[Asked]:
    """KnowEdit's parallel lists `prompt` and `ground_truth`, whose entries are texts or lists of accepted texts."""
    if not part:
        return ()
    found = []
    for prompt, truth in zip(part["prompt"], part["ground_truth"], strict=True):
        answers = [truth] if isinstance(truth, str) else [text for text in truth if isinstance(text, str)]
        kept = tuple(text for text in answers if text.strip())
        if kept and prompt.strip():
            found.append(Asked(prompt.strip(), kept))
    return found
