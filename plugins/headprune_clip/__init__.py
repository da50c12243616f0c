"""The `clipscore` and `refclipscore` scorers: a caption against the picture itself, through a CLIP model."""
