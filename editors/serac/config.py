"""Numbers of SERAC; `conf/serac.yaml` holds the same."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from editors.config import read_config
from registry.ranges import Count, Level, Real, Share, Some


@dataclass(frozen=True)
class SeracConfig:
    """What counts as in scope, and how firmly the stored object is said.

    A text that names the edit's subject is in scope when

        similarity * s + agreement * (a - agreement_centre) - contrast * d + bias >= 0

    with s the likeness of the wordings, a the agreement of the base model's own next words after both, and d how
    clearly the wordings are alike to different ordinary sentences. The second term is left out where the answers begin
    differently (a question against a sentence to be gone on with), and speaks only against where d is above its gate.
    The weights are a logistic regression on the relations of the atlas (docs/editors/serac.md), so the sum is the
    log-odds of "the same relation" for as many texts in scope as out of it, less a half for caution.

    Attributes:
        depth: which hidden states embed words, as a share of the model's blocks.
        similarity: weight of s.
        agreement: weight of a.
        agreement_centre: the a that speaks neither for nor against.
        contrast: weight of d.
        contrast_gate: the d from which equal answers are no evidence.
        bias: log-odds of a text that has s = 0, d = 0 and no a.
        certainty: probability that is moved onto the next token of the object.
        paraphrases: how many of a request's paraphrases are stored beside its prompt and question.
        continuations: how many of the base model's next tokens after the prompt are stored, for a.
    """

    depth: Share = 0.27
    similarity: Real = 4.3
    agreement: Real = 5.5
    agreement_centre: Real = 0.37
    contrast: Real = 8.4
    contrast_gate: Share = 0.1
    bias: Real = -0.3
    certainty: Level = 0.999
    paraphrases: Count = 6
    continuations: Some = 64

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from YAML; unknown keys are refused."""
        return read_config(cls, path)
