"""Encode the sentences of a table of facts once, from the command line, so that an index of them is made at once.

    python -m editors.rag.encode examples/atlas/vectors --catalogue relations.yaml --facts facts.csv

`build_index` takes the vectors of unchanged sentences from it where the same encoder made
them, and encodes the others.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from editors.rag.config import RagConfig
from editors.rag.index import Index, default_encoder
from registry.catalogue import Catalogue
from registry.records import Fact


def main(arguments: Sequence[str] | None = None) -> None:
    """Encode and write; see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m editors.rag.encode", description="Encode sentences of facts.")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--catalogue", type=Path, required=True, help="relation catalogue (YAML)")
    parser.add_argument("--facts", type=Path, required=True, help="facts (CSV) to make sentences of")
    parser.add_argument("--encoder", type=Path, help="folder of the sentence encoder; the installed one by default")
    options = parser.parse_args(arguments)
    catalogue = Catalogue.read(options.catalogue)
    with options.facts.open(encoding="utf-8", newline="") as stream:
        facts = [Fact(row["subject"], row["relation"], row["object"]) for row in csv.DictReader(stream)]
    config = RagConfig(embedder=options.encoder)
    Index.of({fact.id: catalogue.statement(fact) for fact in facts}, default_encoder(config), config, {}).save_vectors(
        options.out
    )


if __name__ == "__main__":
    main()
