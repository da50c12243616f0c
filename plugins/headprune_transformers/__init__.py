"""Hugging Face transformers models for headprune: one declarative layout a family."""
