"""The gates where nothing but a suppression is in the weights: it works where the model keeps quiet."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.judging import rechecks
from pipelines.judging.probing import Asker, Question
from pipelines.judging.rechecks import Recheck
from pipelines.settings import Settings
from registry.records import Fact

FACT = Fact("Zefiria", "capital", "Quobbleton")


class Says(Asker):
    """A model that says one thing whatever it is asked."""

    def __init__(self, words: str) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.words = words

    def now(self, questions: Any) -> dict[str, str]:
        return {one.prompt: self.words for one in questions}


@pytest.mark.parametrize(("words", "quiet"), [("unknown", True), ("Quobbleton", False)])
def test_a_suppression_is_judged_by_what_it_hides(monkeypatch: pytest.MonkeyPatch, words: str, quiet: bool) -> None:
    settings = Settings.load()
    request = settings.catalogue.request(FACT, "FORGET")
    seen: list[Any] = []

    def judged(observations: Any, policy: Any, tier: str, **more: Any) -> Any:
        seen.extend([*observations, tier])
        return SimpleNamespace(verdicts=())

    monkeypatch.setattr(rechecks, "judge_family", judged)
    monkeypatch.setattr(rechecks, "read_texts", lambda *_: ())
    monkeypatch.setattr(rechecks, "Asker", lambda loaded: Says(words))
    untouched = Question("drawdown", "other", "The capital of France is", ("Paris",))
    recheck = Recheck(Says("Quobbleton"), (), {}, (untouched,), (), (request,))
    place: Any = SimpleNamespace(deltas=("d",), loaded=None, settings=settings)
    assert recheck.after(place, {FACT.id}) == []
    *observations, tier = seen
    about = [one for one in observations if one.fact_id == FACT.id]
    assert {one.kind for one in about} == {"efficacy", "generalisation"}
    assert {one.after for one in about} == {quiet}
    assert {one.before for one in about} == {False}, "the base said it"
    assert tier == request.risk_tier
    assert recheck.after(SimpleNamespace(deltas=()), {FACT.id}) == [], "the base itself is not judged"  # type: ignore[arg-type]
