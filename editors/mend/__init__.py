"""MEND: a small trained network turns one fact's fine-tuning gradient into an edit of the weights."""
