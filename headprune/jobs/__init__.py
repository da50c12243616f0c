"""What each command does, from a recipe to a result: one file a command. Nothing here is shown to anybody."""
