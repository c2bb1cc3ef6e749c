"""Output layer and hidden states of a causal language model."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch, after torch==2.13.0")
pytest.importorskip("transformers", reason="needs the extra torch")

from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast  # noqa: E402

from sim.svd.head import Head, States, read  # noqa: E402
from sim.svd.states import main, observe  # noqa: E402

WORDS = 20


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=WORDS, n_positions=8, n_embd=16, n_layer=1,
                                      n_head=2, bos_token_id=0, eos_token_id=0)).eval()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """A model of numbers, and a text of its words in an order of its own."""
    path = tmp_path_factory.mktemp("model")
    model.save_pretrained(path)
    tokenizer = Tokenizer(models.WordLevel({str(n): n for n in range(WORDS)}, unk_token="0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(path)
    numbers = np.random.default_rng(0).integers(1, WORDS, 400)
    (path / "text").write_text("\n".join(" ".join(map(str, row)) for row in numbers.reshape(-1, 8)))
    return path


def test_states_are_the_layers_inputs(model):
    tokens = torch.randint(WORDS, (20, 8))
    hidden, label = observe(model, tokens)
    with torch.no_grad():
        logits = model(input_ids=tokens).logits[:, :-1].reshape(-1, WORDS).numpy()
    head = Head.of(model.get_output_embeddings().weight.detach().numpy())
    assert np.allclose(head.logits(hidden), logits, atol=1e-5)
    assert (label == tokens[:, 1:].reshape(-1).numpy()).all()


@pytest.mark.parametrize("states, half", [(20, 10), (1000, 28)])
def test_command(folder, tmp_path, capsys, states, half):
    """Half of the states are of the text's last tenth: at most four windows of seven."""
    out = tmp_path / "x.npz"
    assert main([str(folder), "--text", str(folder / "text"), "--states", str(states), "--out",
                 str(out)]) == 0
    assert f"20 words of 16, {2 * half} states" in capsys.readouterr().out
    arrays = read([out])
    head = Head.of(arrays["matrix"])
    found = States.of(head, arrays["hidden"], arrays["label"])
    assert len(found) == 2 * half and "bias" not in arrays
    last = np.array((folder / "text").read_text().split()[-32:], int).reshape(4, 8)
    windows = found.label[half:].tolist()
    labels = last[:, 1:].reshape(-1)
    assert windows == labels[np.linspace(0, len(labels) - 1, half).astype(int)].tolist() \
        if half == 28 else set(windows) <= set(labels.tolist())


@pytest.mark.parametrize("words, message", [
    (["nothing"], "Argument FOLDER must have a config.json, not 'nothing'"),
    (["FOLDER", "--text", "nothing"], "File 'nothing' can not be read: No such file or directory"),
    (["FOLDER", "--states", "3"], "Option --states must be at least 4, not 3"),
    (["FOLDER", "--text", "SHORT"], "Text must have 8 tokens at least in each of its parts, not"),
])
def test_refused(folder, tmp_path, capsys, words, message):
    (tmp_path / "short").write_text("1 2 3\n4 5 6\n")
    places = {"FOLDER": folder, "SHORT": tmp_path / "short"}
    words = [str(places.get(word, word)) for word in words]
    if "--text" not in words:
        words += ["--text", str(folder / "text")]
    out = tmp_path / "x.npz"
    assert main([*words, "--out", str(out)]) == 1
    printed, error = capsys.readouterr()
    assert printed == "" and error.count("\n") == 1 and not out.exists()
    assert error.startswith("sim.svd.states: error: ") and message in error


def test_without_data(folder, monkeypatch, capsys):
    monkeypatch.delenv("TRANSFORMER_RTL_DATA", raising=False)
    assert main([str(folder)]) == 1
    assert "TRANSFORMER_RTL_DATA must name the folder of wikitext2" in capsys.readouterr().err
