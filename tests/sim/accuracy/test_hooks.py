"""Hooks on models of Transformers: what they show is what the model's own attention computes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch, after torch==2.13.0")
transformers = pytest.importorskip("transformers", reason="needs the extra torch")

from sim.accuracy import AccuracyError, capture, texts  # noqa: E402
from sim.accuracy.hooks import hooked  # noqa: E402
from sim.accuracy.reader import Reader  # noqa: E402

SIZES = {"vocab_size": 40, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 16}
WORDS = "a the cat dog man woman runs sleeps eats red blue house river slowly today .".split()


def models():
    torch.manual_seed(0)
    yield transformers.BertModel(transformers.BertConfig(**SIZES)), "padded"
    yield transformers.GPT2Model(transformers.GPT2Config(
        vocab_size=40, n_embd=24, n_layer=2, n_head=4)), "causal"
    yield transformers.LlamaModel(transformers.LlamaConfig(
        **SIZES, num_key_value_heads=2)), "causal"
    yield transformers.ViTModel(transformers.ViTConfig(
        image_size=8, patch_size=2, num_channels=1, **{k: v for k, v in SIZES.items()
                                                       if k != "vocab_size"})), "images"


@pytest.mark.parametrize("number", range(4))
def test_logits_are_those_of_the_models_own_attention(number):
    model, kind = list(models())[number]
    model = model.eval().double()
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 5:] = 0
    batch = {"input_ids": torch.randint(40, (2, 7)), "attention_mask": mask}
    if kind == "images":
        batch = {"pixel_values": torch.randn(2, 1, 8, 8, dtype=torch.float64)}
    before = model.config._attn_implementation
    attended, norms = [], {}
    with torch.no_grad(), hooked(model, attended.append,
                                 lambda name, x: norms.setdefault(name, x)):
        output = model(**batch).last_hidden_state
    assert model.config._attn_implementation == before
    assert not any("_tell_attention" in module.__dict__ for module in model.modules())
    model.set_attn_implementation("eager")
    # Some of the models' own softmaxes are in float32.
    own = model(**batch, output_attentions=True)
    torch.testing.assert_close(output, own.last_hidden_state, rtol=0, atol=1e-6)
    assert len(attended) == len({a.name for a in attended}) == 2
    for a, weights in zip(attended, own.attentions, strict=True):
        logits = a.logits.masked_fill(a.dead, -torch.inf)
        torch.testing.assert_close(torch.softmax(logits, -1), weights, rtol=0, atol=1e-6)
        torch.testing.assert_close(a.query @ a.key.transpose(-1, -2) / 6 ** 0.5, a.logits)
        assert a.value.shape == a.key.shape == a.query.shape
        assert a.dead.any() == (kind != "images")
    assert len(norms) >= 4 and all(x.shape[-1] == 24 for x in norms.values())


def test_a_model_without_the_interface_is_refused():
    with pytest.raises(AccuracyError, match="Linear must have an attention that Transformers can"):
        with hooked(torch.nn.Linear(2, 2), print):
            pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny GPT-2 whose tokenizer adds no tokens to a text."""
    folder = tmp_path_factory.mktemp("gpt2")
    words = tokenizers().Tokenizer(tokenizers().models.WordLevel(
        {word: n for n, word in enumerate(["<|end|>", *WORDS])}, unk_token="<|end|>"))
    words.pre_tokenizer = tokenizers().pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<|end|>").save_pretrained(folder)
    torch.manual_seed(1)
    transformers.GPT2Model(transformers.GPT2Config(
        vocab_size=len(WORDS) + 1, n_embd=16, n_layer=3, n_head=2, n_positions=40)
    ).save_pretrained(folder)
    return folder


def tokenizers():
    return pytest.importorskip("tokenizers")


def test_capture_of_another_model(folder, tmp_path, monkeypatch, capsys):
    """Rows of a causal model end with their own token; heads that it lacks are left out."""
    sentences = tmp_path / "sentences.txt"
    random = np.random.default_rng(0)
    sentences.write_text("\n".join(" ".join(random.choice(WORDS, 4)) for _ in range(20)))
    rows = capture.capture(Reader(str(folder)), texts.read_sentences(sentences), rows=60,
                           lengths=(8, 12), texts=2)
    assert {(row.layer, row.head) for row in rows} == {(n, m) for n in range(3) for m in range(2)}
    assert {len(row.logits) for row in rows} == {8, 12}
    assert all(np.all(row.mask[:-1] <= row.mask[1:]) for row in rows)
    assert len({np.count_nonzero(~row.mask) for row in rows}) > 8
    out = tmp_path / "x.npz"
    assert capture.main(["--model", str(folder), "--heads", "--sentences", str(sentences),
                         "--lengths", "12", "--rows", "3", "--out", str(out)]) == 0
    assert "2 heads of 8, 3 queries and 12 keys each" in capsys.readouterr().out


def test_progress_is_told(folder):
    told = []
    reader = Reader(str(folder))
    sentences = [" ".join(WORDS[n:n + 4]) for n in range(12)]
    for of_kind, count in ((capture.capture, 2), (capture.capture_norms, 2)):
        of_kind(reader, sentences, rows=2, lengths=(8, 12), texts=1, told=lambda: told.append(0))
        assert len(told) == count
        told.clear()
