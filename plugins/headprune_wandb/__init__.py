"""The `wandb` listener: a run of headprune as a run of Weights & Biases."""
