"""One run of `bench edits`: fit by mode, ask the final model, and leave it as it was.

What is said to a probe comes from the model with the deltas on; of an editor whose memory is the context, from the
system that looks its facts up (`pipelines.bench.context`).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from editors.load import LoadedModel
from pipelines.bench.rows import BenchRow
from pipelines.bench.score import Probe, answers, forced, perplexity
from registry.errors import EditError
from registry.progress import track

Say = Callable[[Sequence[Probe], Sequence[Any]], list[str]]
"""What is said to some probes with some deltas on."""


@dataclass
class Run:
    """What a run gathers.

    Attributes:
        seconds: wall time by step.
        cpu_seconds: processor time of all threads by step.
        deltas: digests of the deltas.
        delta_bytes: size of all deltas as saved.
        effects: how many facts came to which end.
        failures: why facts failed.
        texts: the answers at the end, one per probe.
        forced: teacher-forced values, one per probe; empty where the model itself holds nothing.
        perplexity: of the final model on running text; None where there is no one final model.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    deltas: list[str] = field(default_factory=list)
    delta_bytes: int = 0
    effects: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    forced: list[float] = field(default_factory=list)
    perplexity: float | None = None

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the block's time to a step."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - wall
            self.cpu_seconds[step] = self.cpu_seconds.get(step, 0.0) + time.process_time() - cpu


@dataclass(frozen=True)
class Bench:
    """What a run works with.

    Attributes:
        writer: the editor.
        loaded: the model.
        config: the editor's numbers.
        mode: "single", "sequential" or "batch".
        group: edits per fit of a sequence.
        texts: running text for perplexity.
        say: overrides who answers; the model itself by default.
    """

    writer: Any
    loaded: LoadedModel
    config: Any
    mode: str
    group: int
    texts: Sequence[str]
    say: Say | None = None

    def groups(self, rows: Sequence[BenchRow]) -> list[list[BenchRow]]:
        """The rows by fit."""
        size = {"batch": len(rows), "sequential": self.group, "single": 1}[self.mode]
        return [list(rows[start : start + size]) for start in range(0, len(rows), size)]

    def ask(self, run: Run, probes: Sequence[Probe], deltas: Sequence[Any]) -> tuple[list[str], list[float]]:
        """Answers and teacher-forced values of some probes; the deltas are on already."""
        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        with run.timed("after"):
            said = self.say(probes, deltas) if self.say else answers(model, tokenizer, probes)
        with run.timed("teacher_forced"):
            return said, [] if self.say else forced(model, tokenizer, probes)


def write_and_score(bench: Bench, rows: Sequence[BenchRow], probes: Sequence[Probe], watch: Run) -> Run:
    """Fit by mode, and ask the final model; the model comes out as it went in.

    Args:
        bench: what the run works with.
        rows: the edits.
        probes: what is asked.
        watch: the run as it began, with the time of its first steps; it gathers the rest.

    Raises:
        EditError: the editor cannot write the batch at all.
    """
    _each_alone(watch, bench, rows, probes) if bench.mode == "single" else _together(watch, bench, rows, probes)
    return watch


def _together(run: Run, bench: Bench, rows: Sequence[BenchRow], probes: Sequence[Probe]) -> None:
    """All fits onto one model, which is asked at the end."""
    model, groups = bench.loaded.model, bench.groups(rows)
    kept: list[Any] = []
    with ExitStack() as undo, track(f"bench {bench.mode}", total=len(groups)) as advance:
        for group in groups:
            delta = _fitted(run, bench, group)
            if delta is not None:
                with run.timed("fit"):
                    delta.apply(model)
                undo.callback(delta.revert, model)
                kept.append(delta)
            advance(1)
        run.texts, run.forced = bench.ask(run, probes, kept)
        with run.timed("perplexity"):
            run.perplexity = perplexity(bench.loaded, bench.texts)


def _each_alone(run: Run, bench: Bench, rows: Sequence[BenchRow], probes: Sequence[Probe]) -> None:
    """Each fit on the clean model, which is asked the edit's own probes."""
    said: dict[int, str] = {}
    values: dict[int, float] = {}
    with track("bench single", total=len(rows)) as advance:
        for index, row in enumerate(rows):
            delta = _fitted(run, bench, [row])
            own = [position for position, probe in enumerate(probes) if probe.row == index]
            with ExitStack() as on:
                if delta is not None:
                    on.enter_context(delta.applied(bench.loaded.model))
                texts, forced_values = bench.ask(run, [probes[position] for position in own], [delta] if delta else [])
            said.update(zip(own, texts, strict=True))
            values.update(zip(own, forced_values, strict=False))
            advance(1)
    run.texts = [said[position] for position in range(len(probes))]
    run.forced = [values[position] for position in range(len(probes))] if values else []


def _fitted(run: Run, bench: Bench, group: Sequence[BenchRow]) -> Any:
    """The delta of one fit, None when it holds nothing; an edit that fails alone does not end the run.

    Raises:
        EditError: the editor cannot write a batch of several.
    """
    requests = [row.request for row in group]
    try:
        with run.timed("fit"):
            delta = bench.writer.fit(bench.loaded.model, bench.loaded.tokenizer, requests, bench.config)
    except EditError as error:
        if bench.mode == "batch":
            raise
        run.effects["failed"] += len(group)
        run.failures.append(f"{', '.join(row.subject for row in group)}: {error}")
        return None
    run.effects.update(effect.state for effect in delta.effects)
    run.failures += [effect.explanation for effect in delta.effects if effect.state == "failed"]
    if not delta.fact_ids:
        return None
    run.deltas.append(delta.digest)
    run.delta_bytes += saved_bytes(delta)
    return delta


def saved_bytes(delta: Any) -> int:
    """Size of a delta as saved."""
    with TemporaryDirectory() as folder:
        delta.save(Path(folder) / "delta")
        return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
