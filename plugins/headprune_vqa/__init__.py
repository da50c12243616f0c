"""The `vqa-exact` and `vqa-f1` scorers: answers to questions, as VQA's evaluation and SQuAD's compare them."""
