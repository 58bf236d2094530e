"""What the final model is asked: probes before and after, the repair of a batch, samples, what must not move."""
