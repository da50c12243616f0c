"""One file a perspective: what `headprune dataflow`, `heatmap`, `layers` ... do, from a recipe to a run folder."""
