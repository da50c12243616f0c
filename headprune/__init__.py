"""headprune: what every attention head of a vision tower contributes, in words, and a model edited accordingly.

The names below are the public interface. They are imported when first used, so `import headprune` loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headprune.edits.edit import Comparable as Comparable
    from headprune.edits.edit import Context as Context
    from headprune.edits.edit import Edit as Edit
    from headprune.edits.edit import Rows as Rows
    from headprune.edits.edit import one_hot as one_hot
    from headprune.edits.edit import per_head as per_head
    from headprune.edits.edit import repeated as repeated
    from headprune.edits.edit import replaced as replaced
    from headprune.edits.edit import scaled as scaled
    from headprune.edits.heads import CoefficientEdit as CoefficientEdit
    from headprune.errors import DataError as DataError
    from headprune.errors import HeadpruneError as HeadpruneError
    from headprune.errors import ModelError as ModelError
    from headprune.errors import Notice as Notice
    from headprune.errors import NumberError as NumberError
    from headprune.errors import PatchError as PatchError
    from headprune.errors import PictureError as PictureError
    from headprune.errors import PluginError as PluginError
    from headprune.errors import SampleError as SampleError
    from headprune.errors import ServiceError as ServiceError
    from headprune.errors import UsageError as UsageError
    from headprune.errors import notice as notice
    from headprune.events import LayerScored as LayerScored
    from headprune.events import Progress as Progress
    from headprune.events import RunFailed as RunFailed
    from headprune.events import RunFinished as RunFinished
    from headprune.events import RunStarted as RunStarted
    from headprune.hooks.catalogue import make_scorer as make_scorer
    from headprune.hooks.datasets import open_dataset as open_dataset
    from headprune.hooks.kinds import DatasetReader as DatasetReader
    from headprune.hooks.kinds import GradientScorer as GradientScorer
    from headprune.hooks.kinds import LayerRater as LayerRater
    from headprune.hooks.kinds import Listener as Listener
    from headprune.hooks.kinds import LogitScorer as LogitScorer
    from headprune.hooks.kinds import Scorer as Scorer
    from headprune.hooks.kinds import Settings as Settings
    from headprune.hooks.specs import AdapterSpec as AdapterSpec
    from headprune.hooks.specs import DatasetSpec as DatasetSpec
    from headprune.hooks.specs import EditSpec as EditSpec
    from headprune.hooks.specs import ListenerSpec as ListenerSpec
    from headprune.hooks.specs import ScorerSpec as ScorerSpec
    from headprune.hooks.specs import hookimpl as hookimpl
    from headprune.jobs.apply import choose_change as choose_change
    from headprune.jobs.evaluate import evaluate as evaluate
    from headprune.jobs.perspectives.concreteness import concreteness as concreteness
    from headprune.jobs.perspectives.convergence import convergence as convergence
    from headprune.jobs.perspectives.dataflow import dataflow as dataflow
    from headprune.jobs.perspectives.heads import heads as heads
    from headprune.jobs.perspectives.heatmap import heatmap as heatmap
    from headprune.jobs.perspectives.layers import layers as layers
    from headprune.jobs.perspectives.lesion import lesion as lesion
    from headprune.jobs.score import score as score
    from headprune.labels import read_labels as read_labels
    from headprune.patch.apply import applied as applied
    from headprune.patch.export import export as export
    from headprune.patch.file import load_patch as load_patch
    from headprune.patch.file import save_patch as save_patch
    from headprune.patch.patch import Patch as Patch
    from headprune.patch.slice import sliced as sliced
    from headprune.perspectives.linguistic import captions_by_layer as captions_by_layer
    from headprune.pictures import PICTURE_ENDINGS as PICTURE_ENDINGS
    from headprune.pictures import read_picture as read_picture
    from headprune.recipes.load import resolve as resolve
    from headprune.scoring.sampling import draw as draw
    from headprune.towers.adapter import Adapter as Adapter
    from headprune.towers.adapter import Attention as Attention
    from headprune.towers.adapter import Backend as Backend
    from headprune.towers.adapter import LoadRequest as LoadRequest
    from headprune.towers.adapter import Outline as Outline
    from headprune.towers.adapter import TeacherForced as TeacherForced
    from headprune.towers.capture import Capture as Capture
    from headprune.towers.layout import Site as Site
    from headprune.towers.layout import TowerLayout as TowerLayout
    from headprune.towers.layout import find_sites as find_sites
    from headprune.towers.layout import measure as measure
    from headprune.towers.load import load_model as load_model
    from headprune.towers.numbers import NumberCheck as NumberCheck
    from headprune.towers.replay import answering as answering
    from headprune.towers.replay import showing as showing
    from headprune.types import Dataset as Dataset
    from headprune.types import DecodePoint as DecodePoint
    from headprune.types import Expense as Expense
    from headprune.types import Form as Form
    from headprune.types import Generation as Generation
    from headprune.types import Geometry as Geometry
    from headprune.types import Grid as Grid
    from headprune.types import Interval as Interval
    from headprune.types import LeftOut as LeftOut
    from headprune.types import LogitRows as LogitRows
    from headprune.types import ModelRef as ModelRef
    from headprune.types import RateItem as RateItem
    from headprune.types import Sample as Sample
    from headprune.types import Schedule as Schedule
    from headprune.types import ScoreItem as ScoreItem

_HOMES = {
    "headprune.edits.edit": "Comparable Context Edit Rows one_hot per_head repeated replaced scaled",
    "headprune.edits.heads": "CoefficientEdit",
    "headprune.errors": "DataError HeadpruneError ModelError Notice NumberError "
    "PatchError PictureError PluginError SampleError ServiceError UsageError notice",
    "headprune.events": "LayerScored Progress RunFailed RunFinished RunStarted",
    "headprune.hooks.catalogue": "make_scorer",
    "headprune.hooks.datasets": "open_dataset",
    "headprune.hooks.kinds": "DatasetReader GradientScorer LayerRater Listener LogitScorer Scorer Settings",
    "headprune.hooks.specs": "AdapterSpec DatasetSpec EditSpec ListenerSpec ScorerSpec hookimpl",
    "headprune.jobs.apply": "choose_change",
    "headprune.jobs.evaluate": "evaluate",
    "headprune.jobs.perspectives.concreteness": "concreteness",
    "headprune.jobs.perspectives.convergence": "convergence",
    "headprune.jobs.perspectives.dataflow": "dataflow",
    "headprune.jobs.perspectives.heads": "heads",
    "headprune.jobs.perspectives.heatmap": "heatmap",
    "headprune.jobs.perspectives.layers": "layers",
    "headprune.jobs.perspectives.lesion": "lesion",
    "headprune.jobs.score": "score",
    "headprune.labels": "read_labels",
    "headprune.patch.apply": "applied",
    "headprune.patch.export": "export",
    "headprune.patch.file": "load_patch save_patch",
    "headprune.patch.patch": "Patch",
    "headprune.patch.slice": "sliced",
    "headprune.perspectives.linguistic": "captions_by_layer",
    "headprune.pictures": "PICTURE_ENDINGS read_picture",
    "headprune.recipes.load": "resolve",
    "headprune.scoring.sampling": "draw",
    "headprune.towers.adapter": "Adapter Attention Backend LoadRequest Outline TeacherForced",
    "headprune.towers.capture": "Capture",
    "headprune.towers.layout": "Site TowerLayout find_sites measure",
    "headprune.towers.load": "load_model",
    "headprune.towers.numbers": "NumberCheck",
    "headprune.towers.replay": "answering showing",
    "headprune.types": "Dataset DecodePoint Expense Form Generation Geometry Grid Interval LeftOut LogitRows ModelRef "
    "RateItem Sample Schedule ScoreItem",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'headprune' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
