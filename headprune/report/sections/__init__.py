"""The parts of the page: each module makes plain data of runs, which a template of the same name lays out."""
