"""The listener `placeholder` for headprune."""
