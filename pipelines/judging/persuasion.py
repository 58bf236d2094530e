"""How far a model yields to context about a fact: it is sampled without and with the fact before its eyes.

A model that says the same with the fact in its context as without will not read the index either. The score is
`guards.volatility.coherent_persuasion`; its direction depends on the data, so the route tells it and does not decide by
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from editors.load import LoadedModel
from guards.volatility import Said, coherent_persuasion
from registry.catalogue import Catalogue
from registry.errors import InputError
from registry.records import EditRequest

TOP = 50
"""So many tokens of each step are kept; the rest of the probability is left out."""


@dataclass(frozen=True)
class PersuasionPolicy:
    """How a model is sampled; DynamicQA's setting.

    Attributes:
        samples: answers on each side.
        temperature: of the sampling.
        max_new_tokens: where an answer is cut.
        seed: of the draws.
    """

    samples: int = 10
    temperature: float = 0.5
    max_new_tokens: int = 8
    seed: int = 0


def persuadability(
    loaded: LoadedModel,
    requests: Sequence[EditRequest],
    catalogue: Catalogue,
    policy: PersuasionPolicy | None = None,
) -> dict[str, float]:
    """The coherent-persuasion score of every request's fact, in nats, by fact id.

    Args:
        loaded: the model.
        requests: what would be written; a relation that the catalogue lacks has no statement and is left out.
        catalogue: relations with their statements.
        policy: how the model is sampled.
    """
    policy = policy or PersuasionPolicy()
    scores = {}
    for request in requests:
        if request.fact.relation not in catalogue.relations:
            continue
        statement = catalogue.statement(request.fact)
        alone = sampled(loaded, request.prompt, policy)
        told = sampled(loaded, f"{statement}\n{request.prompt}", policy)
        scores[request.fact.id] = coherent_persuasion(alone, told)
    return scores


def sampled(loaded: LoadedModel, prompt: str, policy: PersuasionPolicy) -> list[Said]:
    """Answers drawn at the policy's temperature, each with the mean probabilities of its tokens; the same every time.

    Raises:
        InputError: the policy asks for no samples.
    """
    import torch

    if policy.samples < 1 or policy.temperature <= 0:
        got = f"{policy.samples} at {policy.temperature}"
        raise InputError("at least one sample at a temperature over 0", got, "change the policy")
    model, tokenizer = loaded.model, loaded.tokenizer
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"].to(model.device)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(policy.seed)
        drawn = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=policy.temperature,
            top_k=0,
            top_p=1.0,
            num_return_sequences=policy.samples,
            max_new_tokens=policy.max_new_tokens,
            pad_token_id=pad,
            return_dict_in_generate=True,
            output_scores=True,
        )
    steps = torch.stack(drawn.scores).float().softmax(-1).transpose(0, 1)
    tails = drawn.sequences[:, ids.shape[1] :]
    return [_said(tokenizer, tail.tolist(), step) for tail, step in zip(tails, steps, strict=True)]


def _said(tokenizer: Any, tail: Sequence[int], steps: Any) -> Said:
    """One answer, cut at the end of its line or sentence, with the mean of its steps' likeliest tokens."""
    text, used = "", 0
    while used < len(tail) and not (text.strip() and text.rstrip(" ").endswith(("\n", ".", ",", ";"))):
        used += 1
        text = tokenizer.decode(tail[:used], skip_special_tokens=True)
    mean: dict[int, float] = {}
    for step in steps[:used]:
        shares, tokens = step.topk(min(TOP, step.shape[0]))
        for share, token in zip(shares.tolist(), tokens.tolist(), strict=True):
            mean[token] = mean.get(token, 0.0) + share / used
    return Said(text.strip(" \n.,;"), mean)
