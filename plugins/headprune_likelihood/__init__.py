"""The `logit` and `gradient` scorers: what a head changes in the model's own likelihoods, without any text."""
