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
}


def described(memory: str) -> Quadruple:
    """The memory's quadruple; one that nobody has described says so in every respect."""
    unknown = "not described"
    return MEMORIES.get(memory) or Quadruple(memory, "unknown", unknown, unknown, unknown, unknown)
