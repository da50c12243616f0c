"""The `judge` scorer: GPT-4V, or any model behind an OpenAI-compatible server, rates captions with their picture."""
