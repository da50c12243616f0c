"""Which model is loaded, and the ways in which bert-score would load or use it wrongly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import bert_score
import pytest
import torch
import transformers
from bert_score import BERTScorer
from headprune_bertscore.encoder import Encoder, read_config
from headprune_bertscore.scorer import BertScore
from headprune_bertscore.settings import BertScoreSettings, resolve
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from headprune import HeadpruneError, ModelError, ScoreItem, UsageError
from tests.support.hub import COMMIT, downloaded, offline

Make = Callable[..., BertScore]
Pairs = list[tuple[str, str]]
CPU = torch.device("cpu")


def test_default_is_bert_scores() -> None:
    resolved = resolve(BertScoreSettings())
    assert (resolved.source, resolved.num_layers, resolved.baseline) == ("roberta-large", 17, (0.0, 0.0, 0.0))


def test_baseline_is_the_row_of_the_layer() -> None:
    resolved = resolve(BertScoreSettings(rescale_with_baseline=True))
    theirs = BERTScorer.__new__(BERTScorer)
    theirs._baseline_vals, theirs.all_layers, theirs._num_layers = None, False, 17
    theirs.baseline_path = str(Path(bert_score.__file__).parent / "rescale_baseline" / "en" / "roberta-large.tsv")
    assert resolved.baseline == pytest.approx(theirs.baseline_vals.tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_layers": None}, "give num_layers=N"),
        ({"num_layers": 4}, "has 3 layers"),
        ({"num_layers": -1}, "num_layers"),
        ({"rescale_with_baseline": True}, "no baseline"),
        ({"idf": True}, "idf"),
        ({"device": "abacus"}, "no torch device"),
        ({"model_type": "scibert-scivocab-cased"}, "allenai/scibert_scivocab_uncased"),
        ({"model_type": "bert-base-uncased", "num_layers": 99, "rescale_with_baseline": True}, "no layer 99"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_impossible_settings(make: Make, options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make(**options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_without_cuda(make: Make) -> None:
    with pytest.raises(UsageError, match="no CUDA"):
        make(device="cuda")


def test_missing_folder(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model folder .*gone"):
        make(model_type=str(tmp_path / "gone"))


def test_folder_without_weights(make: Make, tiny_bert: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bert, tmp_path / "copy")
    (weights,) = [*copy.glob("model.safetensors"), *copy.glob("pytorch_model.bin")]
    weights.unlink()
    with pytest.raises(HeadpruneError, match="copy"):
        make(model_type=str(copy)).score([ScoreItem("a dog", "two men")])


def test_a_bert_in_a_path_with_t5(make: Make, tiny_bert: Path, tmp_path: Path, pairs: Pairs) -> None:
    copy = shutil.copytree(tiny_bert, tmp_path / "scott5" / "bert-t5")
    assert make(model_type=str(copy)).precision_recall_f1(pairs) == make().precision_recall_f1(pairs)


def test_a_t5_in_a_path_without(tmp_path: Path) -> None:
    words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "dog": 4, "runs": 5}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path / "encoder"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(vocab_size=6, d_model=16, d_kv=4, d_ff=16, num_layers=2, num_heads=4)
    model = T5EncoderModel(config).eval()
    model.save_pretrained(folder)
    encoded = Encoder(str(folder), read_config(str(folder), 2), 2, CPU, 8).encode(["a dog runs"])["a dog runs"]
    with torch.no_grad():
        wanted = model(torch.tensor([[3, 4, 5]])).last_hidden_state[0]
    torch.testing.assert_close(encoded.embeddings, torch.nn.functional.normalize(wanted, dim=-1))


def test_roberta_reads_its_first_word_after_a_space(tiny_roberta: Path, pairs: Pairs) -> None:
    theirs = BERTScorer(model_type=str(tiny_roberta), num_layers=2, device="cpu")
    theirs._tokenizer.model_max_length = 38
    ours = BertScore.configured({"model_type": str(tiny_roberta), "num_layers": 2, "device": "cpu"})
    found = torch.tensor(ours.precision_recall_f1(pairs))

    def alone() -> torch.Tensor:
        return torch.tensor([[float(v[0]) for v in theirs.score([one], [other])] for one, other in pairs])

    if transformers.__version__ >= "5":
        assert (found - alone()).abs().max() > 1e-3, "bert-score as it is ought to be wrong under transformers 5"
    theirs._tokenizer = AutoTokenizer.from_pretrained(tiny_roberta, add_prefix_space=True)
    theirs._tokenizer.model_max_length = 38
    torch.testing.assert_close(found, alone(), atol=1e-6, rtol=0.0)


@pytest.mark.parametrize(("model", "fits"), [("tiny_bert", 40), ("tiny_roberta", 38)])
def test_long_captions_are_cut_to_what_fits(model: str, fits: int, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    long = "dog " * 3000
    encoded = Encoder(str(folder), read_config(str(folder), 2), 2, CPU, 8).encode([long])[long]
    assert len(encoded.embeddings) == fits


def test_what_shares_a_pass_does_not_depend_on_order(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[list[list[int]]] = []

    def seen(model: object, ids: torch.Tensor, **rest: object) -> torch.Tensor:
        passes.append(ids.tolist())
        return torch.ones(*ids.shape, 4)

    monkeypatch.setattr("headprune_bertscore.encoder.bert_encode", seen)
    encoder = Encoder(str(tiny_bert), read_config(str(tiny_bert), 2), 2, CPU, 2)
    sentences = ["a dog", "soup", "red bus", "a dog runs", "a beach", "wet sand", "soup"]
    encoder.encode(sentences)
    encoder.encode(sentences[::-1])
    assert len(passes) == 8
    assert passes[:4] == passes[4:]
    assert all(len({len(row) for row in one}) == 1 for one in passes)


def test_describe_does_not_depend_on_where_the_model_lies(make: Make, tiny_bert: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bert, tmp_path / "elsewhere" / tiny_bert.name)
    (copy / "README.md").write_text("not part of the model")
    described = make().describe()
    assert make(model_type=str(copy), batch_size=2).describe() == described
    assert described["model_type"] == "tiny-bert" and described["num_layers"] == 2
    assert described["versions"]["bert-score"]
    assert str(tiny_bert.parent) not in json.dumps(described)
    with (copy / "vocab.txt" if (copy / "vocab.txt").exists() else copy / "tokenizer.json").open("a") as file:
        file.write("\n")
    assert make(model_type=str(copy)).describe()["sha256"] != described["sha256"]


def test_describe_names_the_commit_of_a_hub_model(tiny_bert: Path, tmp_path: Path) -> None:
    downloaded(tiny_bert, "own/bert", tmp_path)
    code = """
from headprune_bertscore.scorer import BertScore
print(BertScore.configured({"model_type": "own/bert", "num_layers": "2", "device": "cpu"}).describe()["revision"])
"""
    assert offline(code, tmp_path).splitlines()[-1] == COMMIT  # old transformers speaks of its cache first


def test_a_model_that_changes_on_the_hub_before_it_is_loaded_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    downloaded(tiny_bert, "own/bert", tmp_path)
    code = f"""
from pathlib import Path
from headprune import ModelError, ScoreItem
from headprune_bertscore.scorer import BertScore
scorer = BertScore.configured({{"model_type": "own/bert", "num_layers": "2", "device": "cpu"}})
cached = Path({str(tmp_path)!r}, "hub", "models--own--bert")
(cached / "snapshots" / {COMMIT!r}).rename(cached / "snapshots" / {COMMIT[::-1]!r})
(cached / "refs" / "main").write_text({COMMIT[::-1]!r})
try:
    scorer.precision_recall_f1([("a dog", "soup")])
except ModelError as error:
    print(error.message)
"""
    assert offline(code, tmp_path).splitlines()[-1] == "the BERTScore model own/bert changed on the hub meanwhile"


# Of the first transformers knows no configuration, of the second no AutoModel.
@pytest.mark.parametrize("model_type", ["trap", "align_text_model"])
def test_code_that_comes_with_a_model_is_not_run_nor_asked_about(
    model_type: str, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "bert")
    (folder / "trap.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    code = {"auto_map": {"AutoConfig": "trap.Config", "AutoModel": "trap.Model"}}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | code | {"model_type": model_type}))
    # Who is asked says yes.
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    with pytest.raises(ModelError, match="cannot load the BERTScore model"):
        scorer = BertScore.configured({"model_type": str(folder), "num_layers": 2, "device": "cpu"})
        scorer.precision_recall_f1([("a dog", "soup")])
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_are_read_for_their_tensors_only(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")

    class Trap:
        def __reduce__(self) -> object:
            return Path.touch, (tmp_path / "ran",)

    folder = shutil.copytree(tiny_bert, tmp_path / "bert")
    weights = load_file(folder / "model.safetensors") if (folder / "model.safetensors").exists() else {}
    for file in folder.glob("*model*.*"):
        if file.suffix in (".bin", ".safetensors"):
            file.unlink()
    torch.save({**weights, "more": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot load the BERTScore model"):
        BertScore.configured({"model_type": str(folder), "num_layers": 2, "device": "cpu"}).precision_recall_f1(
            [("a dog", "soup")]
        )
    assert not (tmp_path / "ran").exists()
    torch.save(weights, folder / "pytorch_model.bin")
    BertScore.configured({"model_type": str(folder), "num_layers": 2, "device": "cpu"}).precision_recall_f1(
        [("a dog", "soup")]
    )
