"""The `concreteness` scorer: how concrete a caption is by WordNet, without a server."""
