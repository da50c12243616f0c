"""How pictures go into a family and words come out."""
