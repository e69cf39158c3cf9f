"""The loop: optimizers, schedule, checkpoints, metrics."""
