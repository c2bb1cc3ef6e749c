"""A tiny sentence encoder, and files of data of every task, made up."""

import numpy as np
import pytest

from rtl import progress

WORDS = "a the cat dog man woman runs sleeps eats red blue house river slowly today".split()
TOKENS = 5 + len(WORDS)


@pytest.fixture(autouse=True)
def no_lines_of_progress(monkeypatch):
    """Standard error has errors alone, however slow the machine is."""
    monkeypatch.setattr(progress, "INTERVAL", 3600.0)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A tiny BERT with a tokenizer of a few words."""
    torch = pytest.importorskip("torch", reason="needs the extra torch, after torch==2.13.0")
    transformers = pytest.importorskip("transformers", reason="needs the extra torch")
    folder = tmp_path_factory.mktemp("model")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
                                                 *WORDS]))
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig(
        vocab_size=TOKENS, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=32)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Files of the tasks."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)

    def text():
        return " ".join(random.choice(WORDS, random.integers(2, 9)))

    for name in ("stsb", "sst2", "wikitext2", "mlm"):
        (folder / name).mkdir()
    for part, count in (("dev", 70), ("train", 300)):
        lines = ["\t".join(("g", "f", "y", "1", f"{random.uniform(0, 5):.2f}", text(), text()))
                 for _ in range(count)]
        (folder / "stsb" / f"sts-{part}.tsv").write_text("\n".join(lines) + "\n")
        lines = ["sentence\tlabel"]
        for _ in range(count):
            line = text()
            lines.append(f"{line} \t{int('cat' in line)}")
        (folder / "sst2" / f"{part}.tsv").write_text("\n".join(lines) + "\n")
    (folder / "wikitext2" / "valid.txt").write_text("\n".join(text() for _ in range(2000)))
    # One word is likely everywhere, and right two times of three.
    words = np.where(np.arange(200) % 3 < 2, 7, random.integers(0, TOKENS, 200))
    np.savez(folder / "mlm" / "head.npz", label=words.astype(np.int32),
             hidden=random.normal(0, 40, (200, 16)).astype(np.float16),
             bias=np.where(np.arange(TOKENS) == 7, 7.0, 0.0).astype(np.float16))
    return folder
