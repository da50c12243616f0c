"""The `meteor` scorer: METEOR through nltk."""
