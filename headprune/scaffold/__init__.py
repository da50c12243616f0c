"""A plugin to begin with: `headprune plugins new` writes a small package of its kind, which works as it stands."""
