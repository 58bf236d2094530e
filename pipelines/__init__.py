"""COMPOSES: the loop and the commands. Start at `pipelines.loop`."""
