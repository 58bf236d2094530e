"""Where the rules come from: the policy, the catalogue and the list of sources, read once per run.

The conf folder is `conf/` beside the code, or the one that DMMGOV_CONF names. `policy.yaml` holds the numbers of every
step, one section a step; a key that no step knows is refused by name.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Self

from guards.admission import AdmissionPolicy
from guards.efficacy import GatePolicy
from guards.freshness import SystemPolicy
from guards.leakage import LeakagePolicy
from guards.sources import Sources
from pipelines.answer import AnswerPolicy
from pipelines.judging.probing import ProbePolicy, Question
from pipelines.releasing.retention import RetentionPolicy
from pipelines.requests.approving import ApprovalPolicy
from pipelines.route import WEIGHT_EDITORS, RoutePolicy
from pipelines.write import WritePolicy
from registry.catalogue import Catalogue
from registry.digests import digest_json
from registry.errors import InputError, UnknownNameError
from registry.safe_yaml import load_yaml

if TYPE_CHECKING:
    from pydantic import ValidationError

CONF_VARIABLE = "DMMGOV_CONF"
PROJECT = Path(__file__).resolve().parents[1]


def conf_folder() -> Path:
    """The folder of the rules: the one that DMMGOV_CONF names, or `conf` beside the code."""
    return Path(os.environ.get(CONF_VARIABLE) or PROJECT / "conf")


@dataclass(frozen=True)
class Policy:
    """Every threshold, by step.

    Attributes:
        catalogue: the relation catalogue, relative to the folder above the conf folder.
        sources: the list of sources with their trust, likewise.
        running_text: text on which fluency is measured, likewise.
        general: general questions that nothing should change the answers of, likewise; without one none are asked.
        admission: what may enter.
        route: which memory a fact goes to.
        write: how the editors write.
        probes: how much is asked around an edit.
        gates: what the edited weights must show.
        system: what the whole system must show.
        answer: how questions are answered.
        leakage: what the leakage audit accepts.
        approval: how many people must allow a request.
        retention: how long the artefacts of releases are kept.
    """

    catalogue: str
    sources: str
    running_text: str
    general: str = ""
    admission: AdmissionPolicy = field(default_factory=AdmissionPolicy)
    route: RoutePolicy = field(default_factory=RoutePolicy)
    write: WritePolicy = field(default_factory=WritePolicy)
    probes: ProbePolicy = field(default_factory=ProbePolicy)
    gates: GatePolicy = field(default_factory=GatePolicy)
    system: SystemPolicy = field(default_factory=SystemPolicy)
    answer: AnswerPolicy = field(default_factory=AnswerPolicy)
    leakage: LeakagePolicy = field(default_factory=LeakagePolicy)
    approval: ApprovalPolicy = field(default_factory=ApprovalPolicy)
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a policy from YAML; what it leaves out keeps its default.

        Raises:
            InputError: the file is missing, not YAML, has an unknown key or a value of the wrong type or out of range.
            UnknownNameError: it routes to an editor with which the loop does not write weights.
        """
        import yaml
        from pydantic import TypeAdapter, ValidationError

        if not path.is_file():
            raise InputError("a policy file", str(path), f"write one, or set {CONF_VARIABLE} to the folder that has it")
        try:
            given = load_yaml(path.read_text(encoding="utf-8")) or {}
            adapter = TypeAdapter(cls)
            policy = adapter.validate_python(given)
        except yaml.YAMLError as error:
            raise InputError(f"YAML in {path}", " ".join(str(error).split()), "mend the file") from error
        except ValidationError as error:
            raise InputError(*_first_of(error, path), "mend the file") from error
        unknown = list(_unknown(given, adapter.dump_python(policy), ""))
        if unknown:
            raise InputError(f"known keys in {path}", ", ".join(unknown), "remove or rename them")
        for name in (policy.route.editor_few, policy.route.editor_many):
            if name not in WEIGHT_EDITORS:
                raise UnknownNameError("editor of weights that the loop uses", name, WEIGHT_EDITORS)
        return policy


def _first_of(error: "ValidationError", path: Path) -> tuple[str, str]:
    """What was expected in the first wrong place of a policy, and what stands there."""
    first = error.errors()[0]
    place, words = ".".join(map(str, first["loc"])) or "policy", first["msg"].removeprefix("Value error, ")
    given = "nothing" if first["type"] == "missing" else shorten(repr(first["input"]), 80, placeholder=" …")
    return f"a valid {place} in {path} ({words[:1].lower()}{words[1:]})", given


def _unknown(given: Any, kept: Any, place: str) -> list[str]:
    """Paths of the keys in `given` that validation did not keep."""
    if not isinstance(given, Mapping) or not isinstance(kept, Mapping):
        return []
    missing = [f"{place}{key}" for key in given if key not in kept]
    return missing + [
        name for key in given if key in kept for name in _unknown(given[key], kept[key], f"{place}{key}.")
    ]


@dataclass(frozen=True)
class Settings:
    """The rules of one run.

    Attributes:
        conf: the conf folder.
        policy: every threshold.
        catalogue: the relations.
        sources: whom to trust how far.
    """

    conf: Path
    policy: Policy
    catalogue: Catalogue
    sources: Sources

    @classmethod
    def load(cls, conf: Path | None = None) -> Self:
        """Read policy, catalogue and sources.

        Raises:
            InputError: one of them is missing or wrong.
        """
        conf = (conf or conf_folder()).resolve()
        policy = Policy.read(conf / "policy.yaml")
        return cls(
            conf,
            policy,
            Catalogue.read(conf.parent / policy.catalogue),
            Sources.read(conf.parent / policy.sources),
        )

    @cached_property
    def running_text(self) -> tuple[str, ...]:
        """Paragraphs on which fluency is measured.

        Raises:
            InputError: the file is missing or empty.
        """
        path = self.conf.parent / self.policy.running_text
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        paragraphs = tuple(part.strip() for part in text.split("\n\n") if part.strip())
        if not paragraphs:
            raise InputError("running text in paragraphs", f"nothing in {path}", "name a text in policy.yaml")
        return paragraphs

    @cached_property
    def general(self) -> tuple[Question, ...]:
        """General questions, none where the policy names no file.

        Raises:
            InputError: the file is missing or of another shape.
        """
        from pipelines.judging.general import general_questions

        return tuple(general_questions(self.conf.parent / self.policy.general)) if self.policy.general else ()

    @cached_property
    def digest(self) -> str:
        """Digest of the rules: the policy file, the catalogue and the sources."""
        from registry.digests import digest_file

        files = [
            self.conf / "policy.yaml",
            self.conf.parent / self.policy.catalogue,
            self.conf.parent / self.policy.sources,
        ]
        return digest_json([digest_file(path) for path in files])
