"""Salesforce LAVIS's BLIP-2 models for headprune, and their way to transformers."""
