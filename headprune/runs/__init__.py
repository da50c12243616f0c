"""The run folder: what a run writes, and how the next one goes on where it was cut off."""

from headprune.runs.canonical import canonical as canonical
from headprune.runs.folder import RunFolder as RunFolder
from headprune.runs.store import REFERENCE as REFERENCE
from headprune.runs.store import WHOLE as WHOLE
from headprune.runs.store import Key as Key
from headprune.runs.store import RunStore as RunStore
