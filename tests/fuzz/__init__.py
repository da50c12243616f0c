"""What reads files from others, under a fuzzer: `make fuzz`, and without one in `test_corpus.py`."""
