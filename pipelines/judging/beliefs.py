"""What a model believes: its answers about facts before anything is written, asked without any context.

Answers are kept in the home by the model's digest and the prompt, so that asking again is free. What counts as right
is decided anew each time, so new aliases need no new answers.
"""

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from editors.generate import Generation
from editors.load import LoadedModel
from registry.digests import digest_json
from registry.errors import IntegrityError
from registry.home import Home
from registry.records import Belief, BeliefState, EditRequest
from registry.sealed import sealed
from registry.text import starts_with_answer

_FORMAT = 1
_DIGEST_CHARS = 32


@dataclass(frozen=True)
class BeliefPolicy:
    """How a model is asked, and when it counts as sure.

    Attributes:
        phrasings: how many phrasings of a fact are asked: its prompt, then its first paraphrases.
        max_new_tokens: where an answer that does not end by itself is cut.
        certainty: from here on a model counts as sure of what it says, on the geometric mean of the probabilities of
            its answers' tokens. Of 300 facts of the atlas, SmolLM2-135M says nine in ten of those that it knows with
            .39 or more, and three in four of those that it never gets right with .37 or less.
    """

    phrasings: int = 3
    max_new_tokens: int = 12
    certainty: float = 0.4


def believe(
    loaded: LoadedModel,
    requests: Sequence[EditRequest],
    *,
    home: Home | None = None,
    policy: BeliefPolicy | None = None,
) -> dict[str, Belief]:
    """What the model believes about the fact of every request, by fact id.

    Args:
        loaded: the model as it was loaded, without a delta on it.
        requests: whose prompts are asked; held-out phrasings are not.
        home: where answers are kept; None asks anew.
        policy: how it is asked.

    Raises:
        IntegrityError: the model is not the one that was loaded, so its answers must not be kept under that name.
    """
    policy = policy or BeliefPolicy()
    asked = {request.fact.id: _phrasings(request, policy.phrasings) for request in requests}
    prompts = list(dict.fromkeys(prompt for group in asked.values() for prompt in group))
    answers = dict(zip(prompts, answers_of(loaded, prompts, home=home, room=policy.max_new_tokens), strict=True))
    return {
        request.fact.id: belief_of(
            request.fact.id, [answers[prompt] for prompt in asked[request.fact.id]], request.answers, policy.certainty
        )
        for request in requests
    }


def belief_of(fact_id: str, said: Sequence[Generation], answers: Sequence[str], sure: float) -> Belief:
    """The belief that a model's answers make.

    Args:
        fact_id: the fact that was asked about.
        said: what the model said, one per phrasing.
        answers: any of them is right.
        sure: certainty from which a wrong answer is a conviction rather than a guess.
    """
    right = tuple(starts_with_answer(one.text, answers) for one in said)
    certainty = _geometric_mean([one.certainty for one in said])
    state: BeliefState = "unknown"
    if right and all(right):
        state = "known"
    elif not any(right) and certainty >= sure:
        state = "wrong"
    return Belief(fact_id, state, tuple(one.text for one in said), right, certainty)


def answers_of(
    loaded: LoadedModel, prompts: Sequence[str], *, home: Home | None = None, room: int = 12
) -> list[Generation]:
    """The unedited model's answer to every prompt, from the home where it was given before.

    Args:
        loaded: the model as it was loaded, without a delta on it.
        prompts: what to ask.
        home: where answers are kept; None asks anew.
        room: tokens after which an answer is cut.

    Raises:
        IntegrityError: the model is not the one that was loaded.
    """
    from editors.generate import generate
    from editors.load import weights_digest

    if home is None:
        return generate(loaded.model, loaded.tokenizer, prompts, max_new_tokens=room)
    path = home.beliefs / f"{loaded.digest[:_DIGEST_CHARS]}.json"
    kept = _read(path)
    keys = {prompt: digest_json([prompt, room])[:_DIGEST_CHARS] for prompt in prompts}
    missing = [prompt for prompt in dict.fromkeys(prompts) if keys[prompt] not in kept]
    if missing:
        found = weights_digest(loaded.model)
        if found != loaded.digest:
            raise IntegrityError(f"the model {loaded.name} that is asked what it believes", loaded.digest, found)
        said = generate(loaded.model, loaded.tokenizer, missing, max_new_tokens=room)
        new = {keys[prompt]: one for prompt, one in zip(missing, said, strict=True)}
        kept = _keep(path, new)
    return [kept[keys[prompt]] for prompt in prompts]


def _phrasings(request: EditRequest, count: int) -> tuple[str, ...]:
    """The prompt and the first paraphrases, `count` in all at most."""
    return tuple(dict.fromkeys((request.prompt, *request.paraphrases)))[:count]


def _geometric_mean(values: Sequence[float]) -> float:
    """Geometric mean of values from 0 to 1; 0 when there are none or one is 0."""
    if not values or min(values) <= 0:
        return 0.0
    return math.exp(sum(map(math.log, values)) / len(values))


def _read(path: Path) -> dict[str, Generation]:
    """Kept answers; a file that is missing, damaged or of another form holds none, since they can be asked again."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != _FORMAT:
            return {}
        return {key: Generation(**values) for key, values in record["answers"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _keep(path: Path, new: Mapping[str, Generation]) -> dict[str, Generation]:
    """Add answers to the file, in one step that another process sees whole or not at all; returns all of them."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        kept = {**_read(path), **new}
        record = {"format": _FORMAT, "answers": {key: asdict(one) for key, one in sorted(kept.items())}}
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:8]}-", suffix=".json")
        with os.fdopen(handle, "wb") as stream:
            stream.write(sealed(record))
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    return kept
