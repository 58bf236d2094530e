"""What each memory is, in the four respects of DMM-Gov (arXiv 2509.18868): where, how long, how, in whose hand."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quadruple:
    """One memory in DMM-Gov's terms.

    Attributes:
        name: for people.
        kind: "external", "parametric" or "side".
        location: where a fact is stored.
        persistence: how long it stays.
        path: how it is written and read.
        control: who can change it, how finely, and how it is taken back.
    """

    name: str
    kind: str
    location: str
    persistence: str
    path: str
    control: str


_WEIGHTS_CONTROL = (
    "Per fact: the delta can be computed without it. As a whole: the release is rolled back, the weights rebuilt "
    "and their digest compared. The delta gives its subjects away: treat it as confidential."
)

_WHOLE_CONTROL = (
    "As a whole: its facts were trained together and cannot be told apart. Taking one out drops the delta, and the "
    "others are trained again; the release is rolled back, the weights rebuilt and their digest compared. The delta "
    "gives its subjects away: treat it as confidential."
)
_SIDE_CONTROL = (
    "Per fact and exactly: its entry is taken out and leaves nothing behind; switched off, the model is as it was. The "
    "delta gives its subjects away: treat it as confidential."
)
_DELTA_STAYS = "As long as the delta is among those of the release."
_SIDE_STAYS = f"{_DELTA_STAYS} It cannot be merged into a checkpoint."

MEMORIES: dict[str, Quadruple] = {
    "rag": Quadruple(
        "Retrieval index",
        "external",
        "A facts snapshot (Parquet) and an index beside the model, both named by digest; the weights do not hold it.",
        "Until another fact ends it. The ended fact stays readable for questions about earlier days.",
        "Written when the index is built; read at each question, where code picks the fact by valid and recorded time "
        "and the model words it.",
        "Per fact and at once: superseded, ended or retracted by the next release, with its source named in each "
        "answer.",
    ),
    "rome": Quadruple(
        "Weights, by ROME",
        "parametric",
        "A rank-one change of one MLP projection, kept apart from the base as a delta named by digest.",
        "As long as the delta is among those of the release.",
        "Written by one solve per fact; read by every forward pass, without any context.",
        _WEIGHTS_CONTROL,
    ),
    "memit": Quadruple(
        "Weights, by MEMIT",
        "parametric",
        "A low-rank change of several MLP projections, kept apart from the base as a delta named by digest.",
        "As long as the delta is among those of the release.",
        "Written by one joint solve per batch; read by every forward pass, without any context.",
        _WEIGHTS_CONTROL,
    ),
    "mend": Quadruple(
        "Weights, by MEND",
        "parametric",
        "A low-rank change of several MLP projections, kept apart from the base as a delta named by digest.",
        _DELTA_STAYS,
        "Written by a trained network from a backward pass per fact; read by every forward pass, without any context.",
        _WEIGHTS_CONTROL,
    ),
    "lora": Quadruple(
        "Weights, by LoRA",
        "parametric",
        "Low-rank factors on attention and MLP projections, kept apart from the base as a delta named by digest, with "
        "an adapter in peft's format beside it.",
        _DELTA_STAYS,
        "Written by training on all facts of a batch; read by every forward pass, without any context.",
        _WHOLE_CONTROL,
    ),
    "svfit": Quadruple(
        "Weights, by SVFit",
        "parametric",
        "Changes of the leading singular values of attention and MLP projections, kept apart from the base as a delta "
        "named by digest.",
        _DELTA_STAYS,
        "Written by training on all facts or texts of a batch; read by every forward pass, without any context.",
        _WHOLE_CONTROL,
    ),
    "sst": Quadruple(
        "Weights, by SST",
        "parametric",
        "Changes of singular values and of drawn singular vectors of attention and MLP projections, kept apart from "
        "the base as a delta named by digest.",
        _DELTA_STAYS,
        "Written by training on all facts or texts of a batch; read by every forward pass, without any context.",
        _WHOLE_CONTROL,
    ),
    "wise": Quadruple(
        "Side memory, by WISE",
        "side",
        "A copy of one MLP projection with masked changes, beside the block; the weights themselves do not change.",
        _SIDE_STAYS,
        "Written by a solve per fact; read once per sequence, at the prompt, where its keys decide whether the copy "
        "serves, and held while decoding.",
        _SIDE_CONTROL,
    ),
    "grace": Quadruple(
        "Side memory, by GRACE",
        "side",
        "Entries of a code book (key, value, radius) beside one block; the weights do not change.",
        _SIDE_STAYS,
        "Written as one entry per prompt; read once per sequence, where the prompt's last token falls into a radius.",
        _SIDE_CONTROL,
    ),
    "serac": Quadruple(
        "Side memory, by SERAC",
        "side",
        "Stored edits beside the model, which move probability onto the stored object; the weights do not change.",
        _SIDE_STAYS,
        "Written as a stored edit, with no training; read at the prompt, where a scope classifier decides whether an "
        "edit serves the sequence.",
        _SIDE_CONTROL,
    ),
}


def described(memory: str) -> Quadruple:
    """The memory's quadruple; one that nobody has described says so in every respect."""
    unknown = "not described"
    return MEMORIES.get(memory) or Quadruple(memory, "unknown", unknown, unknown, unknown, unknown)
