"""The section of RESULTS.md on causal tracing, from results/tracing.json."""

from collections.abc import Mapping
from typing import Any

from benchmarks.report import table

CURVES = {
    "states, subject": "state, subject's last token",
    "mlps, subject": "MLPs, subject's last token",
    "states, last": "state, last token",
    "mlps, last": "MLPs, last token",
}


def section(found: Mapping[str, Any]) -> str:
    """Indirect effects by layer, and whether the editors take the layers at the peak."""
    config, depth = found["config"], len(found["states, subject"]["mean"])
    about = (
        f"{found['n']} facts that the model ({found['model'][:12]}) answers, drawn by seed {found['seed']}, one of "
        f"each relation in turn. Noise of {config['noise']:g} deviations on the subject, {config['samples']} draws; "
        f"MLPs of {config['window']} blocks around the layer. Probability of the answer's first token: "
        f"{found['clean']:.2f} clean, {found['corrupted']:.2f} corrupted. Told is what is restored above that, with "
        "95 % bootstrap intervals over facts; **bold** is the largest of a column."
    )
    taken = {layer: name for name, layers in found["layers"].items() for layer in layers}
    body = [
        [
            str(layer),
            *(_effect(found[name], layer) for name in CURVES),
            ", ".join(name for name, layers in found["layers"].items() if layer in layers),
        ]
        for layer in range(depth)
    ]
    return "\n\n".join([about, table(["block", *CURVES.values(), "taken by"], body), _agrees(found, sorted(taken))])


def _effect(curve: Mapping[str, Any], layer: int) -> str:
    """One effect with its interval."""
    text = f"{curve['mean'][layer]:.3f} ({curve['low'][layer]:.3f}-{curve['high'][layer]:.3f})"
    return f"**{text}**" if layer == curve["peak"] else text


def _agrees(found: Mapping[str, Any], taken: list[int]) -> str:
    """Whether the layers that editors take by depth lie where the subject's MLPs matter most."""
    curve = found["mlps, subject"]
    best = curve["mean"][curve["peak"]]
    low, high = curve["peak_low"], curve["peak_high"]
    near = [layer for layer in taken if low <= layer <= high]
    words = f"blocks {low} to {high}" if low != high else f"block {low}"
    state = found["states, subject"]
    told = [
        f"* The subject's MLPs matter most around block {curve['peak']} ({words} in 95 % of resamples).",
        f"* The state of the subject's last token peaks at block {state['peak']} "
        f"({state['peak_low']} to {state['peak_high']}).",
    ]
    for name, layers in found["layers"].items():
        inside = [layer for layer in layers if layer in near]
        share = max(curve["mean"][layer] for layer in layers) / best if best > 0 else 0.0
        told.append(
            f"* {name} takes {', '.join(map(str, layers))} by depth: {len(inside)} of {len(layers)} lie in that range; "
            f"its best block has {share:.2f} of the peak's effect."
        )
    return "\n".join(told)
