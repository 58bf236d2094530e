"""What was forgotten does not come back unnoticed: a row that says it again waits for a person."""

from dataclasses import dataclass, field

from guards.admission import finding
from guards.base import Verdict
from guards.candidates import Candidate
from guards.names import Names
from registry.forgotten import Tombstones

RULE = "forgotten"


@dataclass(frozen=True)
class ForgottenGuard:
    """Holds a row against the keyed digests of what was forgotten."""

    names: Names
    tombstones: Tombstones = field(default_factory=Tombstones)
    name: str = RULE

    def judge(self, case: Candidate) -> Verdict:
        """Escalate a statement that was forgotten, and one that answers a question of which nothing shall be known."""
        subject = self.names.key(case.cell("subject"))
        if self.tombstones.holds_statement(subject, case.name, self.names.key(case.cell("object"))):
            problem = "this statement was forgotten on request"
        elif self.tombstones.holds_question(subject, case.name):
            problem = "everything about this was forgotten on request"
        else:
            return Verdict(self.name, "pass", "nothing of this was forgotten")
        return finding(self.name, "escalate", "", "", problem, "a person has to decide whether it may come back")
