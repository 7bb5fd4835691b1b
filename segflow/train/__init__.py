"""Training: input pipeline, losses, trainer, and the model bundle."""
