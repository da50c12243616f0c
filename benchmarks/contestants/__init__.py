"""Ways to make the same captions: every head silenced in turn, every picture put into words each time.

Each contestant is a function of a `Task`. All but `ours` know the model as transformers gives it, and nothing of ours.
"""
