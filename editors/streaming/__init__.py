"""The loss of long sequences, and its exact gradients, in chunks of tokens (StreamBP, arXiv 2506.03077)."""

from editors.streaming.loss import IGNORED, streaming_loss

__all__ = ["IGNORED", "streaming_loss"]
