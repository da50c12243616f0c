"""The `bleu` and `rouge` scorers: n-gram overlap with the gold captions, through sacrebleu and rouge-score."""
