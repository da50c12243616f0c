"""`python -m headprune.demo.training OUT`: train the demo model anew."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path

from headprune.demo.training.learn import Plan, Trainer


def main() -> None:
    """Train by the plan, whose every setting is an option."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the checkpoints")
    for field in dataclasses.fields(Plan):
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(option, type=type(field.default), default=field.default, help="default: %(default)s")
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    settings = vars(parser.parse_args())
    out = settings.pop("out")
    Trainer(Plan(**settings), out).run()


if __name__ == "__main__":
    main()
