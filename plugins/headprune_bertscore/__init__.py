"""The `bertscore` scorer: BERTScore through the bert-score package, cached and independent of batches."""
