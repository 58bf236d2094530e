"""`bench edits`: score and time an editor on given edits, at the end, on the final model.

single: each edit alone on the clean model. sequential: one fit after another, all kept. batch: all in one fit.
Everything is scored by free generation with a natural stop. The time per edit covers fitting and applying; loading the
model and measuring second moments, which serve every edit, are counted apart. Needs no server and no database.
"""

import json
import platform
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from editors.load import LoadedModel
from pipelines.bench_formats import BenchData, read_rows
from pipelines.bench_moments import config_of, with_moments
from pipelines.bench_rows import BenchRow
from pipelines.bench_score import Probe, answers, forced, forced_means, probes_of, right_of, shares
from registry.digests import digest_file, digest_json
from registry.errors import EditError, InputError, UnknownNameError
from registry.home import Home
from registry.progress import track

MODES = ("batch", "sequential", "single")

_PACKAGES = ("dmm-gov", "torch", "transformers", "numpy", "safetensors")
_FORCED = "token accuracy with the right beginning given; not comparable with the free generation above"


@dataclass
class _Run:
    """What a run gathers: seconds by step, the deltas' digests, the effects, and the answers at the end."""

    seconds: dict[str, float] = field(default_factory=dict)
    deltas: list[str] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    forced: list[float] = field(default_factory=list)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the block's wall time to a step."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - started


def bench_edits(
    editor: str,
    model: str,
    data: Path,
    format: str,
    n: int,
    mode: str,
    seed: int,
    out: Path,
    *,
    home: Home | None = None,
    texts: Path | None = None,
) -> dict[str, Any]:
    """Write `n` edits with an editor, score the final model, and write the figures to `out` as JSON.

    Args:
        editor: name of an editor that writes into weights.
        model: short name, folder, GGUF file or hub id.
        data: the edits.
        format: their form; see `pipelines.bench_formats`.
        n: how many to draw; all where the set has fewer.
        mode: "single", "sequential" or "batch".
        seed: of the draw and of the fit.
        out: JSON file.
        home: where pulled models and measured moments lie; the default home otherwise.
        texts: running text for second moments, where none are ready.

    Returns what was written to `out`, without the list of answers.

    Raises:
        InputError: an argument or the data cannot be used (also ModelError, UnknownNameError); nothing is written.
        EditError: the editor cannot write the batch at all.
    """
    from editors import get_editor
    from pipelines.models import load

    writer = get_editor(editor)
    _check(writer, mode, out)
    drawn = read_rows(data, format, n, seed, together=mode != "single")
    home, run = home or Home.default(), _Run()
    with run.timed("load"):
        loaded = load(home, model)
    with run.timed("moments"):
        config, moments = with_moments(config_of(editor, seed), loaded, home, texts)
    probes = probes_of(drawn.rows)
    with run.timed("before"):
        before = answers(loaded.model, loaded.tokenizer, probes)
    _write_and_score(run, writer, loaded, drawn.rows, probes, mode, config)
    about = {"editor": editor, "model": str(model), "data": str(data), "format": format, "mode": mode, "seed": seed}
    result = {
        **about,
        "n": len(drawn.rows),
        "n_asked": n,
        **_figures(run, probes, before, len(drawn.rows)),
        "moments": moments,
        "digests": {"model": loaded.digest, "data": _data_digest(data), "deltas": run.deltas},
        "config": _plain_config(config),
        **_circumstances(loaded, drawn),
    }
    _keep({**result, "edits": _listed(drawn.rows, probes, before, run.texts)}, out)
    return result


def _check(writer: Any, mode: str, out: Path) -> None:
    """Refuse what cannot be run, before any work.

    Raises:
        InputError: names the argument.
    """
    if mode not in MODES:
        raise UnknownNameError("mode", mode, MODES)
    if writer.scope == "context":
        raise InputError("an editor that changes what the model itself says", repr(writer.name), "bench rome or memit")
    if out.is_dir() or not out.parent.is_dir():
        raise InputError("a file to write in a folder that exists", str(out), "name another")


def _keep(result: Mapping[str, Any], out: Path) -> None:
    """Write the figures, whole or not at all."""
    staged = out.with_name(f".{out.name}.part")
    staged.write_text(json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    staged.replace(out)


def _write_and_score(
    run: _Run,
    writer: Any,
    loaded: LoadedModel,
    rows: Sequence[BenchRow],
    probes: Sequence[Probe],
    mode: str,
    config: Any,
) -> None:
    """Fit by mode, and ask the final model; the model comes out as it went in."""
    model, tokenizer = loaded.model, loaded.tokenizer
    groups = [list(rows)] if mode == "batch" else [[row] for row in rows]
    kept: list[Any] = []
    said: dict[int, str] = {}
    values: dict[int, float] = {}
    with track(f"bench {mode}", total=len(groups)) as advance:
        for index, group in enumerate(groups):
            delta = _fitted(run, writer, loaded, group, config, alone=mode != "batch")
            if mode == "single":
                own = [position for position, probe in enumerate(probes) if probe.row == index]
                _ask(run, model, tokenizer, probes, own, delta, said, values)
            elif delta is not None:
                with run.timed("fit"):
                    delta.apply(model)
                kept.append(delta)
            advance(1)
    if mode != "single":
        _ask(run, model, tokenizer, probes, range(len(probes)), None, said, values)
    for delta in reversed(kept):
        delta.revert(model)
    run.texts = [said[position] for position in range(len(probes))]
    run.forced = [values[position] for position in range(len(probes))]


def _fitted(run: _Run, writer: Any, loaded: LoadedModel, group: Sequence[BenchRow], config: Any, alone: bool) -> Any:
    """The delta of one fit, None when it holds nothing; an edit that fails alone does not end the run."""
    requests = [row.request for row in group]
    try:
        with run.timed("fit"):
            delta = writer.fit(loaded.model, loaded.tokenizer, requests, config)
    except EditError as error:
        if not alone:
            raise
        run.effects["failed"] += len(group)
        run.failures.append(f"{group[0].subject}: {error}")
        return None
    run.effects.update(effect.state for effect in delta.effects)
    run.failures += [effect.explanation for effect in delta.effects if effect.state == "failed"]
    if not delta.fact_ids:
        return None
    run.deltas.append(delta.digest)
    return delta


def _ask(
    run: _Run,
    model: Any,
    tokenizer: Any,
    probes: Sequence[Probe],
    positions: Sequence[int],
    delta: Any,
    said: dict[int, str],
    values: dict[int, float],
) -> None:
    """Ask some probes, with `delta` on where there is one, and fill in answers and teacher-forced values."""
    chosen = [probes[position] for position in positions]
    with delta.applied(model) if delta is not None else nullcontext():
        with run.timed("after"):
            said.update(zip(positions, answers(model, tokenizer, chosen), strict=True))
        with run.timed("teacher_forced"):
            values.update(zip(positions, forced(model, tokenizer, chosen), strict=True))


def _figures(run: _Run, probes: Sequence[Probe], before: Sequence[str], count: int) -> dict[str, Any]:
    """Scores, times and memory."""
    right_before, right = right_of(probes, before), right_of(probes, run.texts)
    kept = shares(probes, right, right_before)
    divisor = 1024.0 if sys.platform != "darwin" else 1024.0**2
    return {
        **shares(probes, right),
        "before": shares(probes, right_before),
        "still_right": {kind: kept[kind] for kind in ("neighbourhood", "same_subject")},
        "teacher_forced": {"note": _FORCED, **forced_means(probes, run.forced)},
        "interval": "Wilson, 95 %, every prompt one case",
        "effects": {state: run.effects.get(state, 0) for state in ("written", "no_effect", "failed")},
        "failures": run.failures,
        "seconds_per_edit": run.seconds["fit"] / count,
        **{f"seconds_{step}": run.seconds[step] for step in ("load", "moments", "fit", "before", "after")},
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / divisor,
    }


def _circumstances(loaded: LoadedModel, drawn: BenchData) -> dict[str, Any]:
    """What else a reader needs to repeat the run."""
    import torch

    return {
        "available": drawn.available,
        "skipped": dict(drawn.skipped),
        "dropped_probes": drawn.dropped,
        "device": str(loaded.model.device),
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "machine": platform.platform(),
    }


def _listed(
    rows: Sequence[BenchRow], probes: Sequence[Probe], before: Sequence[str], after: Sequence[str]
) -> list[dict[str, Any]]:
    """Every edit with every answer, so that each figure can be looked at."""
    right = right_of(probes, after)
    listed: list[dict[str, Any]] = [
        {"subject": row.subject, "relation": row.relation, "target_new": row.target_new, "answers": []} for row in rows
    ]
    for probe, old, new, good in zip(probes, before, after, right, strict=True):
        listed[probe.row]["answers"].append(
            {"kind": probe.kind, "prompt": probe.prompt, "before": old, "after": new, "right": good}
        )
    return listed


def _data_digest(data: Path) -> str:
    """Digest of the file, or of all files of a folder."""
    if data.is_file():
        return digest_file(data)
    return digest_json({file.name: digest_file(file) for file in sorted(data.glob("*.json"))})


def _plain_config(config: Any) -> dict[str, Any]:
    """The config's numbers; moments and texts are named elsewhere."""
    if config is None:
        return {}
    bare = replace(config, moments=None) if hasattr(config, "moments") else config
    kept = {name: value for name, value in asdict(bare).items() if name not in ("moments", "texts")}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}
