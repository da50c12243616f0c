"""One question a file: a function from an `Effort` to a `Section`."""
