"""EasyEdit's own MEMIT and ROME on given edits: runs in EasyEdit's environment, called by `run.py`.

    python inside.py CHECKOUT JOB.json

JOB.json names the model folder, the texts for covariances, a work folder and a list of settings (MEMIT or ROME, with
hyper-parameters). For each setting the edited model is saved as an ordinary checkpoint, with `times.json` beside it.
Only EasyEdit's code computes; what is worked around is said in README.md.
"""

import json
import os
import resource
import sys
import time
import types
from pathlib import Path
from typing import Any

MODULES = {
    "rewrite_module_tmp": "model.layers.{}.mlp.down_proj",
    "layer_module_tmp": "model.layers.{}",
    "mlp_module_tmp": "model.layers.{}.mlp",
    "attn_module_tmp": "model.layers.{}.self_attn",
    "ln_f_module": "model.norm",
}


def import_easyedit(checkout: Path) -> tuple[Any, Any]:
    """EasyEdit's modules of MEMIT and ROME, without the package's `__init__` files, which import all of its methods."""
    root = checkout.resolve() / "easyeditor"
    for name, folder in (("easyeditor", ""), ("easyeditor.models", "models"), ("easyeditor.util", "util")):
        package = types.ModuleType(name)
        package.__path__ = [str(root / folder)]
        sys.modules[name] = package
    from easyeditor.models import memit, rome

    return memit, rome


def use_texts(texts: Path) -> int:
    """Make EasyEdit measure its covariances on these texts instead of a download of Wikipedia; how many they are."""
    from easyeditor.models.rome import layer_stats

    rows = [json.loads(line) for line in texts.read_text(encoding="utf-8").splitlines() if line.strip()]
    layer_stats.load_dataset = lambda *_: {"train": rows}
    return len(rows)


def covariances(model: Any, tokenizer: Any, hparams: Any) -> float:
    """Have EasyEdit measure the covariances of the edit layers; CPU seconds that they took when they were measured."""
    from easyeditor.models.memit.memit_main import get_cov

    total = 0.0
    for layer in hparams.layers:
        name, noted = hparams.rewrite_module_tmp.format(layer), Path(hparams.stats_dir) / f"{layer}.seconds"
        started = time.process_time()
        options = {"mom2_dtype": hparams.mom2_dtype, "hparams": hparams}
        get_cov(model, tokenizer, name, hparams.mom2_dataset, hparams.mom2_n_samples, **options)
        if not noted.is_file():
            noted.parent.mkdir(parents=True, exist_ok=True)
            noted.write_text(str(time.process_time() - started), encoding="utf-8")
        total += float(noted.read_text(encoding="utf-8"))
    return total


def edit(model: Any, tokenizer: Any, requests: list[dict[str, Any]], method: str, hparams: Any, apply: Any) -> float:
    """Write the edits: MEMIT all at once, ROME one after another onto the same model; CPU seconds."""
    groups = [requests] if method == "MEMIT" else [[request] for request in requests]
    started = time.process_time()
    for group in groups:
        apply(model, tokenizer, group, hparams)
    return time.process_time() - started


def run_one(job: dict[str, Any], setting: dict[str, Any], modules: dict[str, Any], count: int) -> None:
    """One setting from a fresh model to a saved checkpoint with its times."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype="float32").eval()
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "right"
    method, numbers = setting["method"], setting["hparams"]
    kind = getattr(modules[method], f"{method}HyperParams")
    hparams = kind(
        **MODULES,
        **numbers,
        # EasyEdit looks the head up among the named parameters, where a tied one has no name of its own.
        lm_head_module="model.embed_tokens" if model.config.tie_word_embeddings else "lm_head",
        alg_name=method,
        model_name=job["model"],
        device="cpu",
        stats_dir=job["stats"],
        v_loss_layer=model.config.num_hidden_layers - 1,
        mom2_dataset="wikipedia",
        mom2_n_samples=count,
        mom2_dtype="float32",
    )
    apply = getattr(modules[method], f"apply_{method.lower()}_to_model")
    wanted = covariances(model, tokenizer, hparams) if hparams.mom2_adjustment else 0.0
    cpu = edit(model, tokenizer, job["requests"], method, hparams, apply) if job["requests"] else 0.0
    folder = Path(job["work"]) / setting["name"]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    times = {
        "cpu_seconds_edits": cpu,
        "cpu_seconds_covariances": wanted,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
    }
    (folder / "times.json").write_text(json.dumps(times) + "\n", encoding="utf-8")


def main() -> None:
    """Run every setting of the job that has no result yet."""
    import torch

    checkout, job = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    Path(job["work"]).mkdir(parents=True, exist_ok=True)
    os.chdir(job["work"])
    memit, rome = import_easyedit(checkout)
    count = use_texts(Path(job["texts"]))
    for setting in job["settings"]:
        if not (Path(job["work"]) / setting["name"] / "times.json").is_file():
            torch.manual_seed(job["seed"])
            run_one(job, setting, {"MEMIT": memit, "ROME": rome}, count)


if __name__ == "__main__":
    main()
