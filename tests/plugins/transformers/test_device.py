"""Where a model is asked to go."""

from __future__ import annotations

import pytest
import torch

from headprune import LoadRequest, ModelError, load_model


@pytest.mark.parametrize(("device", "said"), [("nowhere", "no device"), ("cuda", "no CUDA")])
def test_a_device_that_is_not_there(tiny_folder, monkeypatch, device, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=said):
        load_model(str(tiny_folder), LoadRequest("", device=device))


def test_a_device_map_gives_the_same_model(tiny_folder):
    mapped = load_model(str(tiny_folder), LoadRequest("", device_map="cpu"))
    plain = load_model(str(tiny_folder))
    state = mapped.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in plain.model.state_dict().items())
