"""What runs found, to be looked at: figures, tables, and the page."""
