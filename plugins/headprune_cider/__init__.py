"""The `cider` scorer: CIDEr-D as pycocoevalcap computes it, without Java unless asked."""
