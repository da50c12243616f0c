"""Stanford's own PTBTokenizer (Java), from the jar that pycocoevalcap carries: what published CIDEr values used."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from headprune import HeadpruneError, UsageError
from headprune_cider.ptb import collapse

_WITHOUT = "or leave tokenizer=ptb, which needs neither"


class JavaTokenizer:
    """Tokenizes lists of captions, one Java process a list.

    pycocoevalcap's own wrapper is not used: it writes into its installed package and reads and writes in the
    platform's encoding. The jar, the class, its options and the punctuation taken out are pycocoevalcap's.

    Raises:
        UsageError: Java or pycocoevalcap is not installed.
    """

    def __init__(self) -> None:
        java = shutil.which("java")
        if java is None:
            raise UsageError(
                "tokenizer=ptb-java needs Java: no `java` on the PATH",
                f"install Java 8 or later, {_WITHOUT}",
            )
        try:
            from pycocoevalcap.tokenizer import ptbtokenizer
        except ImportError as error:
            raise UsageError(
                "tokenizer=ptb-java needs pycocoevalcap", f"pip install 'headprune[ptb]', {_WITHOUT}"
            ) from error
        jar = Path(ptbtokenizer.__file__).parent / ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR
        tool = ["-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
        self._command = [java, "-Dfile.encoding=UTF-8", *tool, "-preserveLines", "-lowerCase", "-encoding", "UTF-8"]
        self._dropped = frozenset(ptbtokenizer.PUNCTUATIONS)

    def __call__(self, captions: Sequence[str]) -> list[tuple[str, ...]]:
        """Lower-cased tokens of each caption, in order.

        Raises:
            HeadpruneError: Java failed, or did not answer with one line a caption.
        """
        # The tokenizer looks past the end of a line, and drops blank lines at the end of its input: an "x" after each
        # caption makes every caption's surroundings the same, whichever captions it is given with.
        lines = "".join(f"{collapse(caption)}\nx\n" for caption in captions)
        ran = subprocess.run(self._command, input=lines.encode(), capture_output=True, check=False)
        found = ran.stdout.decode().splitlines()
        if ran.returncode != 0 or len(found) != 2 * len(captions):
            last = ran.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise HeadpruneError(f"the Java tokenizer failed: {last[0]}", f"check `java -version`, {_WITHOUT}")
        return [tuple(token for token in line.split() if token not in self._dropped) for line in found[::2]]

    def versions(self) -> dict[str, str]:
        """The version of the package that carries the jar."""
        return {"pycocoevalcap": version("pycocoevalcap")}
