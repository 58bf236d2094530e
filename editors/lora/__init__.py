"""LoRA, DoRA and PiSSA through peft."""
