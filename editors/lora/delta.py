"""A LoRA delta: applied as new weights like every other, and saved in peft's own format beside that."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from editors.trained_delta import TrainedDelta
from registry.digests import digest_bytes
from registry.errors import IntegrityError

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"


@dataclass(frozen=True, eq=False)
class LoraDelta(TrainedDelta):
    """New weights by LoRA. `record["modules"]` names the projections, `record["adapter"]` is peft's config."""

    @property
    def editor(self) -> str:
        """Name of the editor that made it."""
        return "lora"

    def adapter(self) -> dict[str, Tensor]:
        """The adapter's tensors under peft's names."""
        named: dict[str, Tensor] = {}
        for index, module in enumerate(self.record.get("modules", ())):
            begin = f"base_model.model.{module}"
            named[f"{begin}.lora_A.weight"] = self.tensors[f"{index}.right"]
            named[f"{begin}.lora_B.weight"] = self.tensors[f"{index}.left"]
            if f"{index}.magnitude" in self.tensors:
                named[f"{begin}.lora_magnitude_vector"] = self.tensors[f"{index}.magnitude"]
        return named

    def adapter_config(self) -> str:
        """The config of peft as JSON, with the digest of this delta where peft looks at nothing."""
        config: dict[str, Any] = {**self.record["adapter"], "auto_mapping": {"delta_digest": self.digest}}
        return json.dumps(config, indent=2, sort_keys=True) + "\n"

    def save(self, folder: Path) -> None:
        """Write the delta, and beside it the adapter that `PeftModel.from_pretrained(base, folder)` loads.

        Raises:
            EditError: the folder holds something already.
        """
        from safetensors.torch import save_file

        super().save(folder)
        if self.record:
            save_file(self.adapter(), str(folder / ADAPTER), metadata={"format": "pt"})
            (folder / ADAPTER_CONFIG).write_text(self.adapter_config(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            EditError: there is no delta in the folder, or one of another editor or format.
            IntegrityError: the delta or the adapter beside it does not have the content that it names.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        delta = super().load(folder)
        if not delta.record:
            return delta
        try:
            found = load_file(str(folder / ADAPTER))
            config = (folder / ADAPTER_CONFIG).read_bytes()
        except (SafetensorError, OSError) as error:
            raise IntegrityError(f"the adapter in {folder}", delta.digest, f"unreadable content ({error})") from error
        wanted, text = delta.adapter(), delta.adapter_config().encode()
        if config != text:
            raise IntegrityError(f"{folder / ADAPTER_CONFIG}", digest_bytes(text), digest_bytes(config))
        if found.keys() != wanted.keys() or any(not torch.equal(found[name], wanted[name]) for name in wanted):
            raise IntegrityError(f"{folder / ADAPTER}", f"the factors of delta {delta.digest}", "others")
        return delta
