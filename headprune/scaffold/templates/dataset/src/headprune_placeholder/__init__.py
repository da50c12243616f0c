"""The dataset `placeholder` for headprune."""
