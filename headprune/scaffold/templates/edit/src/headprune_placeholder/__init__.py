"""The edit `placeholder` for headprune."""
