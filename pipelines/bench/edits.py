"""`bench edits`: score and time an editor on given edits, at the end, on the final model.

single: each edit alone on the clean model. sequential: one fit after another, all kept. batch: all in one fit.
Everything is scored by free generation with a natural stop. The time per edit covers fitting and applying; loading the
model and measuring second moments, which serve every edit, are counted apart. Needs no server and no database.
"""

import json
import platform
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from editors.gather import read_texts
from editors.load import LoadedModel
from pipelines.bench.formats import BenchData, read_rows
from pipelines.bench.moments import RUNNING_TEXT, config_of, with_moments
from pipelines.bench.rows import BenchRow
from pipelines.bench.running import Bench, Run, write_and_score
from pipelines.bench.score import Probe, answers_before, forced_means, perplexity, probes_of, right_of, shares
from registry.digests import digest_file, digest_json
from registry.errors import InputError, UnknownNameError
from registry.home import Home

MODES = ("batch", "sequential", "single")

_PACKAGES = ("dmm-gov", "torch", "transformers", "numpy", "safetensors")
_FORCED = "token accuracy with the right beginning given; not comparable with the free generation above"


@dataclass(frozen=True)
class _Before:
    """The model before anything is written."""

    texts: Sequence[str]
    perplexity: float | None


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
    group: int = 1,
    config: Path | None = None,
) -> dict[str, Any]:
    """Write `n` edits with an editor, score the final model, and write the figures to `out` as JSON.

    Args:
        editor: name of an editor.
        model: short name, folder, GGUF file or hub id.
        data: the edits.
        format: their form; see `pipelines.bench.formats`.
        n: how many to draw; all where the set has fewer.
        mode: "single", "sequential" or "batch".
        seed: of the draw and of the fit.
        out: JSON file.
        home: where pulled models, measured moments and earlier answers lie; the default home otherwise.
        texts: running text for second moments, where none are ready.
        group: edits per fit of a sequence.
        config: YAML file of the editor's numbers; `conf/EDITOR.yaml` by default.

    Returns what was written to `out`, without the list of answers.

    Raises:
        InputError: an argument or the data cannot be used (also ModelError, UnknownNameError); nothing is written.
        EditError: the editor cannot write the batch at all.
    """
    from pipelines.running.models import load

    writer = _checked(editor, mode, group, out)
    drawn = read_rows(data, format, n, seed, together=mode != "single")
    home, watch = home or Home.default(), Run()
    with watch.timed("load"):
        loaded = load(home, model)
    with watch.timed("moments"):
        numbers, moments = with_moments(config_of(editor, seed, config), loaded, home, texts)
    probes, running = probes_of(drawn.rows), list(read_texts(RUNNING_TEXT))
    with watch.timed("before"):
        before = _Before(answers_before(loaded, probes, home), perplexity(loaded, running))
    bench = Bench(writer, loaded, numbers, mode, group, running, _system(writer, loaded, home))
    run = write_and_score(bench, drawn.rows, probes, watch)
    result = {
        **{"editor": editor, "model": str(model), "data": str(data), "format": format, "mode": mode, "seed": seed},
        **{"group": len(bench.groups(drawn.rows)[0]), "n": len(drawn.rows), "n_asked": n},
        **_figures(run, probes, before, len(drawn.rows)),
        "digests": {"model": loaded.digest, "data": _data_digest(data), "deltas": run.deltas},
        **{"moments": moments, "config": _plain_config(numbers), **_circumstances(loaded, drawn)},
    }
    _keep({**result, "edits": _listed(drawn.rows, probes, before.texts, run.texts)}, out)
    return result


def _checked(editor: str, mode: str, group: int, out: Path) -> Any:
    """The editor; what cannot be run is refused before any work.

    Raises:
        InputError: names the argument.
    """
    from editors import get_editor

    writer = get_editor(editor)
    if mode not in MODES:
        raise UnknownNameError("mode", mode, MODES)
    if group < 1 or (group > 1 and mode != "sequential"):
        raise InputError("groups of one edit or more, in the mode sequential", f"{group} in {mode}", "leave it out")
    if out.is_dir() or not out.parent.is_dir():
        raise InputError("a file to write in a folder that exists", str(out), "name another")
    return writer


def _system(writer: Any, loaded: LoadedModel, home: Home) -> Any:
    """Who answers where the memory is the context; None where the model answers by itself."""
    if writer.scope != "context":
        return None
    from pipelines.bench.context import system

    return system(loaded, home)


def _keep(result: Mapping[str, Any], out: Path) -> None:
    """Write the figures, whole or not at all."""
    staged = out.with_name(f".{out.name}.part")
    staged.write_text(json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    staged.replace(out)


def _figures(run: Run, probes: Sequence[Probe], before: _Before, count: int) -> dict[str, Any]:
    """Scores, times and memory."""
    right_before, right = right_of(probes, before.texts), right_of(probes, run.texts)
    kept = shares(probes, right, right_before)
    divisor = 1024.0 if sys.platform != "darwin" else 1024.0**2
    return {
        **shares(probes, right),
        "before": shares(probes, right_before),
        "still_right": {kind: kept[kind] for kind in ("neighbourhood", "same_subject")},
        "teacher_forced": {"note": _FORCED, **forced_means(probes, run.forced)},
        "interval": "Wilson, 95 %, every prompt one case",
        "perplexity": {
            "before": before.perplexity,
            "after": run.perplexity,
            "ratio": run.perplexity / before.perplexity if run.perplexity and before.perplexity else None,
        },
        "effects": {state: run.effects.get(state, 0) for state in ("written", "no_effect", "failed")},
        "failures": run.failures,
        "seconds_per_edit": run.seconds["fit"] / count,
        "cpu_seconds_per_edit": run.cpu_seconds["fit"] / count,
        **{f"seconds_{step}": run.seconds[step] for step in ("load", "moments", "fit", "before", "after")},
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / divisor,
        "delta_bytes": run.delta_bytes,
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
    """The config's numbers, and folders by name; moments and texts are named elsewhere."""
    bare = replace(config, moments=None) if hasattr(config, "moments") else config
    kept = {name: value for name, value in asdict(bare).items() if name not in ("moments", "texts")}
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in kept.items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
