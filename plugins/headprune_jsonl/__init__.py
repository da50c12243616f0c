"""The `jsonl` listener: what happens in a run, one JSON object a line."""
