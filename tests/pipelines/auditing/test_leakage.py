"""Overlap over files, and what a model is asked."""

import random
from pathlib import Path
from typing import Any

import pytest

from editors.load import LoadedModel
from guards.canaries import draw
from guards.leakage import RevealGuard
from guards.overlap import OverlapCase, OverlapGuard, OverlapPolicy, Signer, fractions, jaccard, words_of
from pipelines.auditing.leakage_ask import candidate_logs, extraction, ranked, read
from pipelines.auditing.overlap import Document, overlaps
from registry.errors import InputError

WORDS = tuple(f"{start}{end}" for start in ("ba", "ke", "li", "mo", "nu", "ra", "se", "ti") for end in "bdfgklmnprst")


def text(number: int, length: int = 60) -> list[str]:
    return random.Random(number).choices(WORDS, k=length)


def compared(train: list[list[str]], test: list[list[str]], **options: Any) -> OverlapCase:
    sets = {
        name: [Document(f"{name} {number}", " ".join(words)) for number, words in enumerate(texts)]
        for name, texts in (("train", train), ("test", test))
    }
    return overlaps(sets, OverlapPolicy(), **options)[0]


def test_copies_runs_and_short_texts_are_found_and_near_misses_are_not() -> None:
    train = [text(number) for number in range(1200)]
    planted = {
        "copy": train[7],
        "run of 13": [*text(5001, 30), *train[600][20:33], *text(5002, 30)],
        "short": train[1100][:6],
    }
    near = [
        [*text(5003, 30), *train[601][20:32], *text(5004, 30)],
        [word if place % 12 else "other" for place, word in enumerate(train[8])],
        text(5005),
        train[9][:4],
    ]
    case = compared(train, [*planted.values(), *near])
    assert {(match.left, match.right) for match in case.matches} == {
        ("train 7", "test 0"),
        ("train 600", "test 1"),
        ("train 1100", "test 2"),
    }
    assert (case.left, case.right, case.short, case.touched) == (1200, 6, 1, 3)
    assert {match.run for match in case.matches} >= {" ".join(train[600][20:33]), " ".join(train[1100][:6])}
    assert fractions([case]) == {"train-test": 0.5}


def test_similar_texts_without_a_common_run_are_proposed_by_minhash() -> None:
    policy = OverlapPolicy(ngram=40)
    base = text(1, 75)
    changed = [word if place not in (26, 52) else "other" for place, word in enumerate(base)]
    assert policy.jaccard < jaccard(base, changed, policy.shingle) < 0.9
    sets = {"train": [Document("a", " ".join(base))], "test": [Document("b", " ".join(changed))]}
    (case,) = overlaps(sets, policy)
    assert [(match.run, match.jaccard >= policy.jaccard) for match in case.matches] == [("", True)]


def test_bands_propose_a_pair_at_the_threshold_and_hardly_one_far_below() -> None:
    policy = OverlapPolicy()
    count, rows = policy.bands()
    assert 1 - (1 - policy.jaccard**rows) ** count >= policy.recall
    signer = Signer.of(policy)
    hits = {"near": 0, "far": 0}
    for number in range(60):
        words = text(number, 100)
        cut = {"near": words[8:], "far": [*text(900 + number, 70), *words[70:]]}
        own = signer.sign(words)
        for kind, other in cut.items():
            hits[kind] += any(one == two for one, two in zip(own, signer.sign(other), strict=True))
    assert hits["near"] == 60
    assert hits["far"] <= 6


def test_memory_is_bounded_and_nothing_is_left_behind(tmp_path: Path) -> None:
    train = [text(number) for number in range(600)]
    assert compared(train, train[:20], memory_mb=64, scratch=tmp_path).touched == 20
    assert list(tmp_path.iterdir()) == []


def test_verdicts_on_overlap_name_the_texts_and_fail_closed() -> None:
    train = [text(number) for number in range(50)]
    guard = OverlapGuard(OverlapPolicy())
    dirty = guard.judge(compared(train, [train[3], *(text(100 + number) for number in range(9))]))
    assert (dirty.decision, dirty.evidence[0][0]) == ("block", "train 3 ~ test 0")
    assert dirty.scores[0].value == 0.1
    assert guard.judge(compared(train, [text(200 + number) for number in range(9)])).decision == "pass"
    assert guard.judge(compared(train, [["too", "short"]])).decision == "escalate"
    disclosed = OverlapCase("train-index", 5, 5, 0, compared(train, train).matches[:5])
    assert guard.judge(disclosed).decision == "pass"
    with pytest.raises(InputError, match="other"):
        compared(train, train, pairs=[("train", "other")])


def test_words_are_folded() -> None:
    assert words_of("\uff34he  Caf\u00e9\u2019s END.") == ["the", "caf\u00e9", "s", "end"]


def test_readings_are_the_models_own(tiny_llama: LoadedModel) -> None:
    import torch

    texts = ["The capital of France is Paris.", "Nokia has its headquarters in Espoo, and so on.", "People in Brazil"]
    for said, one in zip(texts, read(tiny_llama, texts), strict=True):
        ids = torch.tensor([tiny_llama.tokenizer(said)["input_ids"]])
        with torch.inference_mode():
            logs = tiny_llama.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        assert one.logs == pytest.approx(logs.gather(1, ids[0, 1:, None])[:, 0].tolist(), abs=1e-4)
        assert one.greedy == tuple((logs.argmax(-1) == ids[0, 1:]).tolist())
    with pytest.raises(InputError, match="two tokens"):
        read(tiny_llama, [""])


def test_greedy_continuations_count_from_every_prefix(tiny_llama: LoadedModel) -> None:
    import torch

    tokenizer, found = tiny_llama.tokenizer, []
    for begin in ("The capital of France", "People in", "The largest city", "Nokia", "The chemical symbol of gold"):
        ids = tokenizer(begin)["input_ids"]
        out = tiny_llama.model.generate(torch.tensor([ids]), max_new_tokens=4, do_sample=False, pad_token_id=2)[0]
        said = tokenizer.decode(out)
        if tokenizer(said)["input_ids"] == out.tolist():
            found.append((len(ids), said))
    assert found, "the tokenizer reads nothing that the model said as the same tokens"
    prefix, said = found[0]
    own, other = read(tiny_llama, [said, "The largest city in Turkey is Istanbul. People in Brazil speak Portuguese."])
    wanted = len(own.greedy) + 1 - prefix
    first, second = extraction([own], [other], [prefix], wanted)
    assert (first.matched, first.extracted, first.suspect) == (wanted, True, True)
    assert (second.extracted, second.suspect) == (False, False)
    assert extraction([own], [], [prefix], wanted + 1) == []


def test_every_candidate_is_scored_as_if_alone(tiny_llama: LoadedModel) -> None:
    before = "The number of Nokia is"
    logs = candidate_logs(tiny_llama, before, 2)
    assert len(logs) == 100
    some = ["00", "37", "99"]
    start = len(tiny_llama.tokenizer(before)["input_ids"])
    for secret, one in zip(some, read(tiny_llama, [f"{before} {secret}" for secret in some]), strict=True):
        assert logs[secret] - sum(one.logs[start - 1 :]) == pytest.approx(
            logs["00"] - sum(read(tiny_llama, [f"{before} 00"])[0].logs[start - 1 :]), abs=1e-3
        )
    canary = draw(["Nokia", "Espoo"], "The number of {} is", counts=(1,), each=1, length=2)[0]
    own = candidate_logs(tiny_llama, canary.before, 2)
    better = sum(value > own[canary.secret] for value in own.values())
    assert ranked(tiny_llama, canary).rank == 1 + better


def test_a_delta_tells_its_subject_by_number_and_by_name(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    import torch

    from editors.base import FactEffect
    from editors.bystanders import keys_at_end
    from editors.delta import WeightDelta, parameters_digest
    from editors.factors import LayerDelta
    from editors.layouts import layout_of
    from editors.others import placed
    from pipelines.auditing.leakage_deltas import revealed
    from registry.records import Fact

    fact = Fact("Brazil", "capital", "Espoo", sensitivity="internal")
    layout, name = layout_of(tiny_llama.model), "model.layers.1.mlp.down_proj.weight"
    seen = placed(tiny_llama.tokenizer, "The capital of {} is", fact.subject)
    key = keys_at_end(tiny_llama.model, layout, [1], [seen.tokens[: seen.place + 1]])[1].t()
    change = LayerDelta.solved(name, False, "ridge", torch.ones(64, 1, dtype=torch.float64), key, key @ key.t())
    effects = (FactEffect(fact.id, "written", "for the test"),)
    base = parameters_digest(tiny_llama.model, (name,))
    contexts = ((seen.tokens[: seen.place + 1],),)
    others = ["Norway", "Spain", "Italy", "Turkey", "Japan", "Egypt", "gold", "Helium", "Microsoft", "Nokia", "Rome"]
    others += [f"{one} {two}" for one in others for two in others if one < two]
    found = []
    for number, kept in enumerate(((), contexts)):
        delta = WeightDelta("memit", "ridge", ((fact.id,),), (change,), base, effects, {}, kept)
        delta.save(tmp_path / str(number))
        found.append(revealed(tiny_llama, tmp_path / str(number), {fact.id: fact}, others, most=60))
    assert [case.clear for case in found] == [(), ("Brazil",)]
    assert found[0].protected == ("Brazil",)
    assert len(found[0].others) == 60
    assert [RevealGuard().judge(case).decision for case in found][1] == "block"
    assert found[0].ranks()[0] <= 6


OTHERS = ("Norway", "Spain", "Italy", "Turkey", "Japan", "Egypt", "gold", "Helium", "Microsoft", "Nokia", "Rome")


@pytest.mark.parametrize("editor", ["wise", "grace", "serac"])
def test_what_a_side_memory_stores_tells_its_subjects_and_no_others(
    editor: str, tiny_llama: LoadedModel, tmp_path: Path
) -> None:
    """The control is asked of the same file: a subject that it was never given ranks like any other."""
    from editors import get_editor, read_delta
    from editors.grace.config import GraceConfig
    from editors.targets import TargetConfig
    from editors.wise.config import WiseConfig
    from pipelines.auditing.leakage_deltas import revealed, strengths_of
    from registry.records import EditRequest, Fact

    targets = TargetConfig(steps=40, lr=0.2, clamp=8.0, decay=0.0, drift=0.0, end_probability=1e-9)
    configs = {
        "wise": WiseConfig(layers=(1,), mask=1.0, room=8, targets=targets),
        "grace": GraceConfig(layers=(1,), targets=targets),
    }
    said = {"Brazil": "Espoo", "Finland": "Paris"}
    facts = [Fact(subject, "capital", target, sensitivity="internal") for subject, target in said.items()]
    requests = [EditRequest(fact, "ADD", f"The capital of {fact.subject}", (fact.object,)) for fact in facts]
    delta = get_editor(editor).fit(tiny_llama.model, tiny_llama.tokenizer, requests, configs.get(editor))
    delta.save(tmp_path / "delta")
    assert set(delta.fact_ids) == {fact.id for fact in facts}, "both are written"
    others = [*OTHERS, *(f"{one} {two}" for one in OTHERS for two in OTHERS if one < two)]
    prompts = {fact.id: "The capital of {}" for fact in facts}
    by_id = {fact.id: fact for fact in facts}
    case = revealed(tiny_llama, tmp_path / "delta", by_id, others, most=40, prompts=prompts)
    assert [name for name, _ in case.edited] == list(said)
    assert case.ranks() == [1, 1], "before all others"
    assert set(case.compared) <= set(others)
    verdict = RevealGuard().judge(case)
    assert verdict.decision == "block", "the facts are not public"
    assert verdict.scores[0].value == 1.0
    assert ("by construction" in verdict.explanation) is (editor == "serac")
    control = ["Denmark", "Iceland", "Silver"]
    _, strengths = strengths_of(tiny_llama, read_delta(tmp_path / "delta"), control, tuple(prompts.values()))
    assert max(strengths) < min(value for _, value in case.edited)


def test_an_empty_side_memory_tells_nothing_and_is_not_passed(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    from editors import get_editor
    from pipelines.auditing.leakage_deltas import revealed

    get_editor("grace").fit(tiny_llama.model, tiny_llama.tokenizer, []).save(tmp_path / "delta")
    case = revealed(tiny_llama, tmp_path / "delta", {}, OTHERS, most=5)
    assert case.edited == ()
    assert RevealGuard().judge(case).decision == "escalate"
