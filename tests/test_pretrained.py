"""GPT-2 checkpoints into our model and back: files as they lie on the hub, and broken ones."""

import json

import helpers
import pytest
import torch
from helpers import as_a_reader, same_weights, shake
from hub_server import HubServer
from safetensors.torch import load_file, save_file
from test_gpt import SMALL, every_config, make
from test_hub import answers, start

from course_utils.models.gpt import GPT, GPTConfig
from course_utils.pretrained import files, load_gpt2, load_gpt2_tokenizer, to_gpt2
from course_utils.tokenizers import BPETokenizer

one_thread = helpers.one_thread
IDS = torch.tensor([[3, 4, 1, 0, 2, 4], [4, 4, 3, 0, 1, 0]])
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def library_model(config, seed=0):
    """The library's model of a configuration, with random weights of its own."""
    return shake(to_gpt2(GPT(config)), seed, std=0.3).eval()


def save_small(folder, **choices):
    model = make(dtype=torch.float32, **choices)
    to_gpt2(model).save_pretrained(folder)
    return model


def edit_config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_weights(folder, change):
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file)


@every_config
def test_saved_by_the_library_is_the_same_in_ours(config, tmp_path):
    theirs = library_model(config)
    theirs.save_pretrained(tmp_path)
    ours = load_gpt2(tmp_path)
    assert not ours.training and all(p.requires_grad for p in ours.parameters())
    torch.testing.assert_close(ours(IDS), theirs(IDS).logits, **CLOSE)
    wanted = theirs.generate(IDS, max_new_tokens=3, do_sample=False)[:, 6:].tolist()
    assert ours.generate(IDS, 3).ids == wanted


@every_config
def test_saved_by_ours_is_the_same_in_the_library(config, tmp_path):
    ours = shake(GPT(config), 3, std=0.3).eval()
    to_gpt2(ours).save_pretrained(tmp_path)
    theirs = type(to_gpt2(ours)).from_pretrained(tmp_path)
    torch.testing.assert_close(theirs(IDS).logits, ours(IDS), **CLOSE)


@every_config
def test_there_and_back_changes_no_bit(config, tmp_path):
    ours = shake(GPT(config), 4)
    to_gpt2(ours).save_pretrained(tmp_path)
    back = load_gpt2(tmp_path)
    assert same_weights(back.state_dict(), ours.state_dict())
    assert back.config.parameter_count() == config.parameter_count()
    for field in ("vocab_size", "block_size", "num_layers", "num_heads", "d_model", "norm_eps"):
        assert getattr(back.config, field) == getattr(config, field)
    assert back.config.inner == config.inner


def test_loaded_weights_share_no_memory(tmp_path):
    save_small(tmp_path)
    tensors = list(load_gpt2(tmp_path).state_dict().values())
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == len(tensors)
    assert all(tensor.is_contiguous() for tensor in tensors)


def test_to_gpt2_ties_its_weights_and_keeps_mode_type_and_dropout():
    ours = GPT(GPTConfig(**SMALL, dropout=0.3)).double()
    theirs = to_gpt2(ours, eos_id=7)
    assert theirs.lm_head.weight is theirs.transformer.wte.weight
    assert theirs.training and not to_gpt2(ours.eval()).training
    assert {part.dtype for part in theirs.parameters()} == {torch.float64}
    assert theirs.config.eos_token_id == theirs.generation_config.eos_token_id == 7
    rates = {m.p for m in theirs.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.3}
    before = ours.embedding.weight.clone()
    with torch.no_grad():
        theirs.transformer.wte.weight.zero_()
    assert torch.equal(ours.embedding.weight, before)


def test_dropout_comes_with_the_checkpoint(tmp_path):
    to_gpt2(GPT(GPTConfig(**SMALL, dropout=0.3))).save_pretrained(tmp_path)
    assert load_gpt2(tmp_path).config.dropout == 0.3


def as_openai_saved_it(tensors):
    """The names in openai-community/gpt2: no prefix, the masks as buffers, no output layer."""
    found = {name.removeprefix("transformer."): part for name, part in tensors.items()}
    found.pop("lm_head.weight", None)
    triangle = torch.ones(12, 12).tril()[None, None]
    found |= {f"h.{i}.attn.bias": triangle.clone() for i in range(2)}
    return found | {"h.0.attn.masked_bias": torch.tensor(-1e4)}


def with_output_layer(tensors):
    return tensors | {"lm_head.weight": tensors["transformer.wte.weight"].clone()}


@pytest.mark.parametrize("change", [as_openai_saved_it, with_output_layer])
def test_other_layouts_of_the_same_weights_are_read(change, tmp_path):
    ours = save_small(tmp_path)
    edit_weights(tmp_path, change)
    assert same_weights(load_gpt2(tmp_path).state_dict(), ours.state_dict())


def test_half_precision_becomes_single(tmp_path):
    ours = save_small(tmp_path)
    edit_weights(tmp_path, lambda tensors: {k: part.half() for k, part in tensors.items()})
    found = load_gpt2(tmp_path)
    assert {part.dtype for part in found.parameters()} == {torch.float32}
    torch.testing.assert_close(found.norm.weight, ours.norm.weight, atol=1e-3, rtol=1e-3)


def test_weights_in_several_files_are_read(tmp_path):
    ours = make(dtype=torch.float32)
    to_gpt2(ours).save_pretrained(tmp_path, max_shard_size="2KB")
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) > 2
    assert same_weights(load_gpt2(tmp_path).state_dict(), ours.state_dict())
    files[1].unlink()
    with as_a_reader(), pytest.raises(FileNotFoundError, match=f"has no {files[1].name}"):
        load_gpt2(tmp_path)


# ---- broken and foreign checkpoints


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "no GPT-2 as GPT builds it: model_type is 'gpt2', got 'bert'"),
        ({"activation_function": "relu"}, "activation_function is 'gelu_new' or .* got 'relu'"),
        ({"scale_attn_weights": False}, "scale_attn_weights is True, got False"),
        ({"scale_attn_by_inverse_layer_idx": True}, "by_inverse_layer_idx is False, got True"),
        ({"add_cross_attention": True}, "add_cross_attention is False, got True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is True, got False"),
        ({"attn_pdrop": 0.7}, "one rate of dropout, .* 'attn_pdrop': 0.7"),
        ({"n_layer": 3}, r"12 missing \['h.2.attn.c_attn.bias', .* 0 too many"),
        ({"n_layer": 1}, r"0 missing \[\], 12 too many \['h.1.attn.c_attn.bias'"),
        ({"n_positions": 99}, r"wpe.weight of .* the shape \(12, 8\), .* says \(99, 8\)"),
        ({"n_inner": 5}, r"the shape \(32,\), its config.json says \(5,\)"),
        ({"n_head": 3}, "got d_model=8, num_heads=3"),
    ],
)
def test_foreign_checkpoint_is_an_error(changes, message, tmp_path):
    save_small(tmp_path)
    edit_config(tmp_path, **changes)
    with as_a_reader(), pytest.raises(ValueError, match=message):
        load_gpt2(tmp_path)


def without_one(tensors):
    return {name: part for name, part in tensors.items() if "ln_f.bias" not in name}


def with_more(tensors):
    return tensors | {"score.weight": torch.ones(2, 8)}


def untied(tensors):
    return tensors | {"lm_head.weight": torch.ones(13, 8)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_one, r"1 missing \['ln_f.bias'\], 0 too many"),
        (with_more, r"0 missing \[\], 1 too many \['score.weight'\]"),
        (untied, "an output layer of its own"),
    ],
)
def test_other_tensors_are_an_error(change, message, tmp_path):
    save_small(tmp_path)
    edit_weights(tmp_path, change)
    with as_a_reader(), pytest.raises(ValueError, match=message):
        load_gpt2(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights_are_an_error(share, tmp_path):
    save_small(tmp_path)
    file = tmp_path / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    with as_a_reader(), pytest.raises(ValueError, match=r"model.safetensors of .* cut off"):
        load_gpt2(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "3"])
def test_broken_configuration_is_an_error(text, tmp_path):
    save_small(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with as_a_reader(), pytest.raises(ValueError, match=r"config.json of .* is broken"):
        load_gpt2(tmp_path)


def test_configuration_without_a_size_is_an_error(tmp_path):
    save_small(tmp_path)
    file = tmp_path / "config.json"
    found = json.loads(file.read_text())
    del found["n_embd"]
    file.write_text(json.dumps(found))
    with as_a_reader(), pytest.raises(ValueError, match="lacks 'n_embd'"):
        load_gpt2(tmp_path)


def test_what_is_not_there_is_an_error(tmp_path):
    with as_a_reader(), pytest.raises(FileNotFoundError, match=r"has no config.json"):
        load_gpt2(tmp_path)
    with as_a_reader(), pytest.raises(FileNotFoundError, match=r"no folder .* no name on the hub"):
        load_gpt2(tmp_path / "nowhere")
    save_small(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with as_a_reader(), pytest.raises(FileNotFoundError, match=r"no model.safetensors.*convert it"):
        load_gpt2(tmp_path)


# ---- the hub

LOAD = """
import torch
from course_utils.pretrained import load_gpt2
for name in sys.argv[1:]:
    try:
        model = load_gpt2(name)
        result = model.embedding.weight.sum().item(), model.config.num_layers
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    print(json.dumps([name, result, 0.0]), flush=True)
"""


def test_name_asks_the_hub_and_a_folder_does_not(tmp_path, monkeypatch):
    asked = []

    def from_hub(load, *, wanted, instead):
        asked.append(wanted)
        return tmp_path / "config.json"

    monkeypatch.setattr(files, "from_hub", from_hub)
    save_small(tmp_path)
    load_gpt2(tmp_path)
    assert not asked
    edit_config(tmp_path, model_type="bert")
    for name in ("openai-community/gpt2", "gpt2"):
        with pytest.raises(ValueError, match=f"{name} is no GPT-2"):
            load_gpt2(name)
        assert asked.pop() == f"config.json of the model {name}"


@pytest.mark.slow
def test_checkpoints_come_from_the_hub_and_then_from_the_cache(tmp_path):
    root, cache = tmp_path / "hub" / "model", tmp_path / "cache"
    ours = save_small(root / "good")
    save_small(root / "openai")
    edit_weights(root / "openai", as_openai_saved_it)
    to_gpt2(ours).save_pretrained(root / "many", max_shard_size="2KB")
    save_small(root / "damage")
    save_small(root / "bert")
    edit_config(root / "bert", model_type="bert")
    save_small(root / "pickle")
    (root / "pickle" / "model.safetensors").rename(root / "pickle" / "pytorch_model.bin")
    names = [f"model/{name}" for name in ("good", "openai", "many")]
    others = [f"model/{name}" for name in ("damage", "bert", "pickle", "none")]
    with HubServer(tmp_path / "hub") as server:
        server.fail("damage", "GET .*model/damage/.*safetensors")
        found = answers(start(LOAD, server.url, cache, *names, *others))
        assert not any("bert" in request and "tensors" in request for request in server.requests)
        assert not any("pytorch_model" in request for request in server.requests)
    found = {name: result for name, (result, _) in found.items()}
    for name in names:
        assert found[name] == [pytest.approx(ours.embedding.weight.sum().item()), 2]
    for name, message in {
        "damage": "ConnectionError: could not load model.safetensors of the model model/damage",
        "bert": "ValueError: model/bert is no GPT-2 as GPT builds it",
        "pickle": "FileNotFoundError: model/pickle has no model.safetensors",
        "none": "ConnectionError: could not load config.json of the model model/none",
    }.items():
        assert found[f"model/{name}"].startswith(message)
    assert "give load_gpt2 the folder of a copy" in found["model/none"]
    # The hub is gone.
    later = answers(start(LOAD, server.url, cache, *names, "model/new"))
    assert {name: later[name][0] for name in names} == {name: found[name] for name in names}
    assert "the cache holds no copy" in later["model/new"][0]


# ---- the tokenizer beside a checkpoint


def save_tokenizer(folder, *files, end="<|endoftext|>"):
    """A tokenizer of 270 tokens, in one file or in GPT-2's two."""
    text = ["a cat sat on a mat, and that was that"] * 3
    ours = BPETokenizer.train(text, 270, special_tokens=[end])
    folder.mkdir(exist_ok=True)
    ours.save(folder / "tokenizer.json")
    if "merges.txt" in files:
        whole = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        vocab = whole["vocab"] | {end: ours.special_tokens[end]}
        (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
        lines = ["#version: 0.2", *(" ".join(pair) for pair in whole["merges"])]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if "tokenizer.json" not in files:
        (folder / "tokenizer.json").unlink()
    return ours


@pytest.mark.parametrize(
    "files", [("tokenizer.json",), ("vocab.json", "merges.txt"), ("tokenizer.json", "merges.txt")]
)
def test_tokenizer_comes_from_one_file_or_from_two(files, tmp_path):
    ours = save_tokenizer(tmp_path, *files)
    opened = load_gpt2_tokenizer(tmp_path)
    for text in ("that cat sat", "😀 on a mat\n"):
        assert opened.encode(text) == ours.encode(text)
    assert opened.special_tokens == ours.special_tokens


def test_tokenizer_of_a_relative_has_its_own_end_token(tmp_path):
    ours = save_tokenizer(tmp_path, "vocab.json", "merges.txt", end="</s>")
    assert load_gpt2_tokenizer(tmp_path).special_tokens == ours.special_tokens


def test_tokenizer_that_is_not_there_is_an_error(tmp_path):
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(FileNotFoundError, match=r"no tokenizer\.json, nor vocab\.json with merges"):
        load_gpt2_tokenizer(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_gpt2_tokenizer(tmp_path / "no such folder")


def test_tokenizer_of_a_name_comes_from_the_hub(tmp_path, monkeypatch):
    ours, asked = save_tokenizer(tmp_path, "vocab.json", "merges.txt"), []

    def from_hub(load, *, wanted, instead):
        asked.append(wanted)
        file = tmp_path / wanted.split()[0]
        return file if file.exists() else None

    monkeypatch.setattr(files, "from_hub", from_hub)
    assert load_gpt2_tokenizer("owner/name").encode("a cat") == ours.encode("a cat")
    assert [words.split()[0] for words in asked] == ["tokenizer.json", "vocab.json", "merges.txt"]
