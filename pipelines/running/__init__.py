"""What a run needs around it: a Prefect server of its own, schedules, models by name, what this machine has."""
