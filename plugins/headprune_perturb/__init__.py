"""The `resample`, `noise` and `attention-temperature` edits: a head goes on speaking, but says something else."""
