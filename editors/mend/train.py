"""Train MEND's network for a model, from the command line of a bare node.

    python -m editors.mend.train MODEL OUT --catalogue relations.yaml --facts facts.csv --leave-out edits.jsonl

MODEL is a Hugging Face folder, OUT the folder that the network is written to. The facts (CSV: subject, relation,
object) are made false with objects of their own relation, in the catalogue's fitting phrasings; its held-out phrasings
are never read. The relations and the subjects of the files named by --leave-out (JSON Lines: subject, relation) take no
part, so that the network can be scored on them.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from editors.mend.config import TrainConfig
from editors.mend.data import read_facts, scored_names, training_set
from editors.mend.meta import train
from registry.catalogue import Catalogue

NUMBERS = ("steps", "spread", "rank", "edits", "seed")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and save; see the head of this module."""
    default = TrainConfig()
    parser = argparse.ArgumentParser(prog="python -m editors.mend.train", description="Train MEND's network.")
    parser.add_argument("model", type=Path, help="a Hugging Face folder")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--catalogue", type=Path, required=True, help="relation catalogue (YAML)")
    parser.add_argument("--facts", type=Path, required=True, help="facts (CSV)")
    parser.add_argument("--leave-out", type=Path, nargs="+", default=[], help="edits that it will be scored on (JSONL)")
    parser.add_argument("--leave-relations", nargs="+", default=[], help="further relations to leave out")
    parser.add_argument("--layers", type=int, nargs="+", default=[], help="blocks to edit (default: the last ones)")
    parser.add_argument("--locality", type=float, default=default.locality, help="c_loc")
    parser.add_argument("--lr", type=float, default=default.lr, help="Adam's step")
    for name in NUMBERS:
        parser.add_argument(f"--{name}", type=int, default=getattr(default, name))
    parser.add_argument("--source", default="", help="what the facts are, in words")
    options = parser.parse_args(arguments)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    numbers = {name: getattr(options, name) for name in (*NUMBERS, "locality", "lr")}
    config = replace(default, layers=tuple(options.layers), **numbers)
    relations, subjects = scored_names(options.leave_out)
    data = training_set(
        Catalogue.read(options.catalogue),
        read_facts(options.facts),
        without_relations=relations | set(options.leave_relations),
        without_subjects=subjects,
        objects=config.objects,
        seed=config.seed,
    )
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model).requires_grad_(False)
    train(model, tokenizer, data, config, source=options.source).save(options.out)


if __name__ == "__main__":
    main()
