"""What a run says of its stages before it begins is what it then does: how far it is can be told from the start."""

from __future__ import annotations

from pathlib import Path

import pytest
from headprune_likelihood.gradient import Gradient
from headprune_likelihood.logit import Logit

from headprune import Scorer
from headprune.runs.sessions import Log, last_session, progress, sessions
from headprune.runs.store import RunStore
from headprune.scoring.algorithm import score_heads
from headprune.scoring.sampling import draw
from headprune.scoring.stages import planned
from headprune.scoring.worker import LocalEngine
from headprune.types import DecodePoint, Schedule
from tests.scoring.test_losses import settings
from tests.support.samples import dataset


class Length(Scorer):
    """Looks at the caption alone."""

    compares = False

    def score(self, batch):
        return [len(item.caption) / 100 for item in batch]


WAYS = {
    "captions": {},
    "at the last layer": {"decode_at": DecodePoint.LAST},
    "some layers": {"layers": (2, 0)},
    "removing": {"edit": "ablate"},
    "removing, against nothing": {"edit": "ablate", "scorer": Length()},
    "removing, at the last layer": {"edit": "ablate", "scorer": Length(), "decode_at": DecodePoint.LAST},
    "likelihoods": {"scorer": Logit()},
    "likelihoods, removing": {"scorer": Logit(), "edit": "mean-ablate", "decode_at": DecodePoint.LAST},
    "gradients": {"scorer": Gradient()},
}


@pytest.mark.parametrize("schedule", Schedule)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_planned_is_done(tiny, pictures, tmp_path: Path, way, schedule):
    data, how = dataset(pictures), settings(schedule=schedule, **WAYS[way])
    plan = planned(how, tiny.geometry, len(data))
    with RunStore.open(tmp_path) as store:
        seen = []

        def look(_):
            session = last_session(store)
            seen.append({stage.stage: stage.total for stage in session.stages})

        for reused in (0, sum(plan.values())):
            store.log = Log(store, {})
            score_heads(LocalEngine(tiny), data, draw(data, len(data), 0), how, store, look)
            session = last_session(store)
            assert {stage.stage: stage.total for stage in session.stages} == plan
            assert [*plan] == [stage.stage for stage in session.stages]
            worked = sum(stage.made for stage in session.stages)
            assert worked == sum(plan.values()) - reused
            assert progress(sessions(store)) == (sum(plan.values()), sum(plan.values()))
        assert seen and all(one == plan for one in seen)
