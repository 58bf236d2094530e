"""The change-audit certificate of a release: sections F1 to F7, signed with the log's key, complete or refused.

DMM-Gov (arXiv 2509.18868): F1 target, F2 time, F3 method path and constraints, F4 verification, F5 regression,
F6 rollback points and fallback, F7 audit trail. It holds ids, digests, figures and names of people, and no content of
any fact: what is forgotten later is not in it.

    certificate = Certificate.issue(body, log_key(home))
    path.write_text(certificate.text)
    assert Certificate.parse(path.read_text()).problems(log_key(home).public) == []
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from registry.digests import canonical_json
from registry.errors import BlockedError, InputError
from registry.keys import SigningKey, verify
from registry.safe_yaml import load_yaml

PURPOSE = "dmmgov/certificate/v1"
SECTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "F1": ("target", ("brought", "ended", "sources", "snapshots")),
    "F2": ("time", ("recorded_at", "holds")),
    "F3": ("method path and constraints", ("base", "weights", "deltas", "memories", "paths", "rules")),
    "F4": ("verification", ("gates",)),
    "F5": ("regression", ("gates",)),
    "F6": ("rollback and fallback", ("rollback", "impact", "fallback")),
    "F7": ("audit trail", ("release", "by", "approvals", "family", "entries", "leaf", "frameworks")),
}
"""Title and fields of every section."""
MAY_BE_EMPTY = frozenset(("brought", "ended", "sources", "holds", "deltas", "memories", "paths", "approvals", "family"))


@dataclass(frozen=True)
class Certificate:
    """A signed certificate.

    Attributes:
        body: plain JSON values: `purpose`, `release` and the sections.
        public: key that signed it, hexadecimal.
        signature: over the canonical JSON of the body, hexadecimal.
    """

    body: Mapping[str, Any]
    public: str
    signature: str

    @classmethod
    def issue(cls, body: Mapping[str, Any], key: SigningKey) -> Self:
        """Sign a complete body.

        Raises:
            BlockedError: it is not complete; the message names what is missing.
        """
        whole: dict[str, Any] = json.loads(canonical_json({**body, "purpose": PURPOSE}))
        lacking = list(missing(whole))
        if lacking:
            raise BlockedError(f"no certificate: {'; '.join(lacking)}")
        return cls(whole, key.public, key.sign(canonical_json(whole)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `text` gave.

        Raises:
            InputError: it is no certificate.
        """
        import yaml

        try:
            values = load_yaml(text)
            return cls(values["certificate"], str(values["public"]), str(values["signature"]))
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise InputError("a certificate (YAML)", str(error).splitlines()[0], "name the file of one") from error

    @property
    def text(self) -> str:
        """The certificate as YAML; the same certificate gives the same text."""
        import yaml

        values = {"certificate": dict(self.body), "public": self.public, "signature": self.signature}
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)

    def problems(self, public: str | None = None) -> list[str]:
        """What is wrong with it; nothing if all is well.

        Args:
            public: key that must have signed it; any where it is None.
        """
        found = list(missing(self.body))
        if public is not None and self.public != public:
            found.append("it is signed with another key than the log's")
        try:
            content = canonical_json(self.body)
        except (TypeError, ValueError):
            return [*found, "its body has no JSON form"]
        if not verify(self.public, content, self.signature):
            found.append("its signature does not fit its content")
        return found


def missing(body: Mapping[str, Any]) -> Iterator[str]:
    """What a body lacks to be complete, in words."""
    if body.get("purpose") != PURPOSE:
        yield f"its purpose is not {PURPOSE}"
    for name, (title, fields) in SECTIONS.items():
        section = body.get(name)
        if not isinstance(section, Mapping):
            yield f"{name} ({title}) is missing"
            continue
        for field in fields:
            if field not in section:
                yield f"{name} ({title}) lacks {field}"
            elif field not in MAY_BE_EMPTY and section[field] in (None, "", [], {}):
                yield f"{name} ({title}): {field} is empty"
    yield from _unverified(body)
    yield from _not_passed(body)


def _unverified(body: Mapping[str, Any]) -> Iterator[str]:
    """Gates without which a change of the weights is not verified."""
    method, verified, regressed = (body.get(name) for name in ("F3", "F4", "F5"))
    if not isinstance(method, Mapping) or not method.get("changes_weights"):
        return
    for section, name, wanted in (
        (verified, "F4", ("efficacy", "generalisation")),
        (regressed, "F5", ("neighbourhood", "drawdown", "fluency")),
    ):
        gates = section.get("gates") if isinstance(section, Mapping) else ()
        judged = {str(gate.get("gate")) for gate in gates or () if isinstance(gate, Mapping)}
        yield from (
            f"{name} lacks the gate {gate}, and the release changes weights" for gate in wanted if gate not in judged
        )


def _not_passed(body: Mapping[str, Any]) -> Iterator[str]:
    """Gates that a person overruled: the release stands, and nothing vouches for it."""
    for name in ("F4", "F5"):
        section = body.get(name)
        gates = section.get("gates") if isinstance(section, Mapping) else ()
        for gate in gates or ():
            if isinstance(gate, Mapping) and gate.get("decision", "pass") != "pass":
                yield f"{name}: the gate {gate.get('gate')} did not pass"
