"""Measure the second moments that ROME and MEMIT need, from the command line of a bare node.

    python -m editors.gather MODEL OUT --layers 6 7 8 --text articles.jsonl --source "what the texts are"

MODEL is a Hugging Face folder. With --catalogue and --facts the sentences that the catalogue makes of known facts are
measured as well, so that edits keep clear of their keys. A .jsonl file gives the field "text" of every line, any other
file its lines. Each text is cut to --tokens tokens, so that many short beginnings are seen rather than a few long ones.
"""

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from editors.moments import measure
from registry.catalogue import Catalogue
from registry.errors import InputError
from registry.records import Fact


def read_texts(path: Path) -> Iterator[str]:
    """The texts of one file.

    Raises:
        InputError: the file is missing.
    """
    if not path.is_file():
        raise InputError("a file of texts", str(path), "name an existing one")
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            yield json.loads(line)["text"] if path.suffix == ".jsonl" else line.strip()


def cut(tokenizer: Any, texts: Sequence[str], tokens: int) -> list[str]:
    """The first `tokens` tokens of every text, as text."""
    beginnings = (
        tokenizer(text[: tokens * 8], return_offsets_mapping=True)["offset_mapping"][:tokens] for text in texts
    )
    return [text[: spans[-1][1]] for text, spans in zip(texts, beginnings, strict=True) if spans]


def sentences(catalogue: Path, facts: Path) -> Iterator[str]:
    """Two sentences for every fact of a CSV file: its relation's cloze with the object, and its statement."""
    known = Catalogue.read(catalogue)
    with facts.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            fact = Fact(row["subject"], row["relation"], row["object"])
            request = known.request(fact, "ADD")
            yield f"{request.prompt}{request.target}."
            yield known.statement(fact)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and save; see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m editors.gather", description="Measure second moments of keys.")
    parser.add_argument("model", type=Path, help="a Hugging Face folder")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--layers", type=int, nargs="+", required=True)
    parser.add_argument("--text", type=Path, nargs="+", default=[])
    parser.add_argument("--catalogue", type=Path, help="relation catalogue (YAML)")
    parser.add_argument("--facts", type=Path, help="known facts (CSV) to make sentences of")
    parser.add_argument("--tokens", type=int, default=300, help="most tokens taken of each text")
    parser.add_argument("--source", default="", help="what the texts are, in words")
    options = parser.parse_args(arguments)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model)
    texts = cut(tokenizer, [text for path in options.text for text in read_texts(path)], options.tokens)
    if options.catalogue and options.facts:
        texts += sentences(options.catalogue, options.facts)
    measure(model, tokenizer, texts, options.layers, source=options.source).save(options.out)


if __name__ == "__main__":
    main()
