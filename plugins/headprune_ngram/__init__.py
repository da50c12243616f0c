"""The `bleu`, `rouge` and `exact` scorers: n-gram overlap with the gold captions, or nothing but equality."""
