"""The adapter `placeholder` for headprune."""
