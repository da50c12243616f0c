"""The scorer `placeholder` for headprune."""
