"""How fast the editors' inner loops are on one device, on random models of real shapes: nothing is downloaded.

    python benchmarks/gpu.py [--device auto] [--size tiny|1b|7b] [--out results.json]

Needs what `editors/` needs and nothing else. Measured are the device's own matrix products (the ceiling), targets per
second batched and one by one, moments' tokens per second, and a training step of LoRA, SVFit and SST, whole and in
chunks. Operations are counted by torch's formulas; a share of the ceiling is of those, over the time taken. On CUDA
time is wall time, and memory the peak of torch's allocator above what was held when the work began; on a CPU they are
the process's CPU time (so run it with one thread) and its resident set.
"""

import argparse
import json
import platform
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Run by its path: the packages lie beside this folder, and its editors.py would hide the one of that name.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.gpu_models import SENTENCES, SIZES, Size, make_model, make_tokenizer
from editors import EDITORS, get_editor
from editors.layouts import layout_of
from editors.load import weights_digest
from editors.moments import measure
from editors.rows import group_requests
from editors.targets import TargetConfig, fit_targets
from editors.training import TrainingConfig
from registry.errors import DmmGovError
from registry.progress import listening
from registry.records import EditRequest, Fact

MB = 2**20
OBJECTS = ("Rome", "Arabic", "Bread", "water")
TARGET_STEPS = 10
WARM_STEPS = 2
"""Steps that are not timed; operations are counted in the last of them."""


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations with torch's own formulas (its `FlopCounterMode` cannot follow chunks)."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run `func`, and count it where there is a formula."""
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


class Bench:
    """One model on one device."""

    def __init__(self, size: Size, device: torch.device, dtype: torch.dtype) -> None:
        """Make the model."""
        self.size, self.device, self.dtype = size, device, dtype
        self.cuda = device.type == "cuda"
        self.model, self.tokenizer = make_model(size, device, dtype), make_tokenizer()
        self.layout = layout_of(self.model)
        self.ceiling = self._ceiling()

    def now(self) -> float:
        """The time, when the device has done what it was given."""
        if not self.cuda:
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def seconds(self, work: Callable[[], Any]) -> float:
        """Time that `work` takes."""
        began = self.now()
        work()
        return self.now() - began

    def operations(self, work: Callable[[], Any]) -> float:
        """Floating-point operations of `work` in this thread."""
        with Operations() as counter:
            work()
        return float(counter.total)

    def _ceiling(self) -> float:
        """Floating-point operations per second of a large square product, best of six."""
        side = self.size.matrix
        one, other = torch.randn(2, side, side, device=self.device, dtype=self.dtype)
        return 2 * side**3 / min(self.seconds(lambda: one @ other) for _ in range(6))

    def share(self, operations: float, seconds: float) -> float:
        """Of the ceiling."""
        return round(operations / seconds / self.ceiling, 4)

    @contextmanager
    def memory(self, found: dict[str, Any]) -> Iterator[None]:
        """Put into `found` the peak inside the block above what was held before, in MB."""
        before = self.reset_peak()
        yield
        found["mb"] = round(self.peak() - before, 1)

    def reset_peak(self) -> float:
        """Begin to look for a peak; gives what is held now, in MB."""
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated() / MB
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return self.peak()

    def peak(self) -> float:
        """Highest since `reset_peak`, in MB."""
        if self.cuda:
            return torch.cuda.max_memory_allocated() / MB
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def targets(self) -> dict[str, Any]:
        """Targets per second, batched and one by one; every target takes the same number of steps."""
        requests = [
            EditRequest(
                Fact(f"Place {number}", "capital", OBJECTS[number % len(OBJECTS)]),
                "ADD",
                f"The capital of Place {number} is",
                (OBJECTS[number % len(OBJECTS)],),
                paraphrases=(f"People in Place {number} speak of",),
            )
            for number in range(self.size.facts)
        ]
        config = TargetConfig(steps=TARGET_STEPS, stop_probability=2.0)
        groups, _ = group_requests(self.tokenizer, requests, prefixes=1, paraphrases=1, seed=0)
        layer = self.size.shape["num_hidden_layers"] // 3
        fit_targets(self.model, self.layout, groups[:1], layer, replace(config, steps=1))
        each = self.operations(lambda: fit_targets(self.model, self.layout, groups[:1], layer, config))
        found: dict[str, Any] = {"facts": len(groups), "steps": TARGET_STEPS, "gflop_per_target": each / 1e9}
        for batch in self.size.batches:
            row: dict[str, Any] = {}
            work = partial(fit_targets, self.model, self.layout, groups, layer, replace(config, batch=batch))
            with self.memory(row):
                spent = self.seconds(work)
            row |= {"per_s": round(len(groups) / spent, 3), "share": self.share(each * len(groups), spent)}
            found[f"batch_{batch}"] = row
        return found

    def moments(self) -> dict[str, Any]:
        """Tokens per second of all layers' moments up to the middle of the model."""
        choice = random.Random(0)
        words = " ".join(SENTENCES).split()
        text = " ".join(choice.choices(words, k=self.size.tokens))
        ids = self.tokenizer(text, verbose=False)["input_ids"][: self.size.tokens]
        texts = [self.tokenizer.decode(ids)]
        layers = list(range(self.size.shape["num_hidden_layers"] // 2))
        counted = self.operations(lambda: measure(self.model, self.tokenizer, texts, layers))
        found: dict[str, Any] = {"layers": len(layers)}
        with self.memory(found):
            spent = self.seconds(lambda: found.update(tokens=measure(self.model, self.tokenizer, texts, layers).count))
        return found | {"tokens_per_s": round(found["tokens"] / spent, 1), "share": self.share(counted, spent)}

    def training(self, editor: str, chunk: int, steps: int = 3) -> dict[str, Any]:
        """Seconds and memory of one training step on one window."""
        depth = self.size.shape["num_hidden_layers"]
        text = " ".join(random.Random(1).choices(" ".join(SENTENCES).split(), k=self.size.length * 2))
        training = TrainingConfig(
            steps=WARM_STEPS + steps, lr=1e-6, batch=1, length=self.size.length, chunk=chunk, warmup=0
        )
        chosen = get_editor(editor)
        layers = tuple(range(depth - self.size.trained, depth))
        config = chosen.config_type(layers=layers, training=training, texts=(text,))
        watch = Steps(self)
        with listening(watch):
            began = self.now()
            chosen.fit(self.model, self.tokenizer, [], config)
        step = statistics.median(watch.steps)
        return {
            "blocks_trained": len(layers),
            "tokens": self.size.length,
            "chunk": chunk,
            "step_s": round(step, 4),
            "tokens_per_s": round(self.size.length / step, 1),
            "mb": round(watch.mb, 1),
            "share": self.share(watch.counted, step),
            "before_s": round(watch.began - began, 2),
        }


class Steps:
    """Listens to training: how long steps take, what they hold, and how many operations one of them is."""

    def __init__(self, bench: Bench) -> None:
        """For work on the device of `bench`."""
        self.bench, self.counter = bench, Operations()
        self.steps: list[float] = []
        self.began = self.last = self.held = self.mb = self.counted = 0.0
        self.done = 0

    def start(self, title: str, total: int | None) -> int:
        """Training begins, or something before it."""
        if title == "training":
            self.held = self.bench.reset_peak()
            self.began = self.bench.now()
        return int(title == "training")

    def advance(self, key: int, amount: int) -> None:
        """A step is done."""
        if not key:
            return
        now = self.bench.now()
        self.done += 1
        if self.done == WARM_STEPS - 1:
            self.counter.__enter__()  # type: ignore[no-untyped-call]
        elif self.done == WARM_STEPS:
            self.counter.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self.counted = self.counter.total
        elif self.done > WARM_STEPS:
            self.steps.append(now - self.last)
        self.last = self.bench.now()

    def finish(self, key: int) -> None:
        """Training, or something before it, ended."""
        if key:
            self.mb = self.bench.peak() - self.held


def tried(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` gives, or why it gave nothing: what does not fit must not lose the rest."""
    try:
        return work()
    except (torch.OutOfMemoryError, DmmGovError) as error:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return {"failed": f"{type(error).__name__}: {str(error).splitlines()[0]}"}


def report(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, for one size on one device."""
    import peft
    import transformers

    name = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    device, size = torch.device(name), SIZES[options.size]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    bench = Bench(size, device, dtype)
    found: dict[str, Any] = {
        "command": f"python benchmarks/gpu.py --device {options.device} --size {options.size}",
        "device": torch.cuda.get_device_name(device) if bench.cuda else f"CPU ({platform.machine()})",
        "threads": torch.get_num_threads(),
        "dtype": str(dtype).removeprefix("torch."),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
        "python": platform.python_version(),
        "size": options.size,
        "shape": size.shape,
        "parameters": sum(parameter.numel() for parameter in bench.model.parameters()),
        "model_digest": weights_digest(bench.model),
        "ceiling_tflops": round(bench.ceiling / 1e12, 4),
    }
    works: dict[str, Callable[[], dict[str, Any]]] = {"targets": bench.targets, "moments": bench.moments}
    for editor in ("lora", "svfit", "sst"):
        if editor in EDITORS:
            for chunk in (0, size.chunk):
                works[f"{editor}_{'chunks' if chunk else 'whole'}"] = partial(bench.training, editor, chunk)
    for title, work in works.items():
        found[title] = tried(work)
        sys.stderr.write(f"{title}: {json.dumps(found[title])}\n")
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    found["unchanged"] = weights_digest(bench.model) == found["model_digest"]
    return found


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--size", default="tiny", choices=sorted(SIZES))
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report(options), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
