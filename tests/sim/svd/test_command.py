"""The command: files in, image, configuration and report out."""

import json
import struct

import numpy as np
import pytest

from rtl import UnitConfig
from rtl.svd.image import HEADER, MAGIC
from sim.data.power_law import power_law
from sim.svd.__main__ import main

FILES = {"image.bin", "image.json", "config.json", "report.md", "report.json"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Files of a layer, of its states, and the arrays."""
    folder = tmp_path_factory.mktemp("layer")
    matrix, hidden, label = power_law(np.random.default_rng(0), 400, 16, 0.5, 120, 20.0)
    arrays = {"matrix": matrix, "hidden": hidden, "label": label,
              "bias": np.random.default_rng(1).normal(size=400)}
    np.savez(folder / "matrix.npz", matrix=matrix)
    np.savez(folder / "states.npz", **{name: arrays[name] for name in ("hidden", "label", "bias")})
    return folder, arrays


def run(capsys, *words):
    status = main(list(map(str, words)))
    return status, *capsys.readouterr()


def test_image_and_report(inputs, tmp_path, capsys):
    folder, _ = inputs
    status, printed, _ = run(capsys, folder / "matrix.npz", folder / "states.npz", "--full-bits",
                             16, "--agreement", 0.9, "--out", tmp_path)
    assert status == 0 and {path.name for path in tmp_path.iterdir()} == FILES
    report = json.loads((tmp_path / "report.json").read_text())
    real, engine = (line["figures"] for line in report["lines"])
    assert report["calibration"] == real["states"] == engine["states"] == 60
    assert real["top1"] > 0.85 and engine["top1"] > 0.8
    facts = json.loads((tmp_path / "image.json").read_text())
    assert (facts["window"], facts["count"]) == (real["window"], real["count"])
    assert f"window {facts['window']}, count {facts['count']}: {tmp_path}" in printed
    markdown = (tmp_path / "report.md").read_text()
    assert "basis whitened" in markdown and "| exact layer |" in markdown
    config = UnitConfig.from_json((tmp_path / "config.json").read_text())
    assert (config.dim, config.max_vocab, config.full_bits) == (16, 400, 16)
    image = (tmp_path / "image.bin").read_bytes()
    header = dict(zip(HEADER, struct.unpack_from(f"<{len(HEADER)}I", image), strict=True))
    assert header["magic"] == MAGIC and header["hash"] == config.image_hash
    assert header["size"] == len(image) and header["preview_columns"] == facts["window"]


def test_equal_data_gives_equal_files(inputs, tmp_path, capsys):
    folder, _ = inputs
    for name in "ab":
        assert run(capsys, folder / "matrix.npz", folder / "states.npz", "--window", 3, "--count",
                   20, "--out", tmp_path / name)[0] == 0
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_matrix_alone(inputs, tmp_path, capsys):
    """The published basis and guideline; nothing to measure on."""
    folder, _ = inputs
    status, printed, _ = run(capsys, folder / "matrix.npz", "--transform", "supplied", "--out",
                             tmp_path)
    assert status == 0 and {path.name for path in tmp_path.iterdir()} == FILES | {"transform.npz"}
    assert "window 2, count 25" in printed and "basis published" in printed
    assert "no states to measure on" in (tmp_path / "report.md").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["lines"] == []


def test_target_of_arithmetic(inputs, tmp_path, capsys):
    folder, _ = inputs
    assert run(capsys, folder / "matrix.npz", folder / "states.npz", "--arithmetic", 0.3,
               "--basis", "published", "--calibrate", 90, "--out", tmp_path)[0] == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["lines"][0]["figures"]["share"] <= 0.3
    assert report["calibration"] == 90 and report["lines"][0]["figures"]["states"] == 30


def test_states_of_another_kind(inputs, tmp_path, capsys):
    """What is measured is not what was asked for, and the command says so."""
    _, arrays = inputs
    # Along the directions that the layer's words differ least in.
    turn = np.linalg.svd(arrays["matrix"], full_matrices=False)[2][-4:]
    other = np.random.default_rng(3).normal(size=(120, 4)) @ turn
    other *= np.abs(arrays["hidden"]).max() / np.abs(other).max()
    for name, hidden in (("same", arrays["hidden"]), ("other", other)):
        np.savez(tmp_path / f"{name}.npz", matrix=arrays["matrix"],
                 hidden=np.concatenate([arrays["hidden"], hidden]))
        status, _, error = run(capsys, tmp_path / f"{name}.npz", "--agreement", 0.9,
                               "--calibrate", 120, "--out", tmp_path / name)
        assert status == 0
        assert ("sim.svd: warning: The top word stays in" in error) == (name == "other")


def test_no_states_left_to_measure_on(inputs, tmp_path, capsys):
    folder, _ = inputs
    assert run(capsys, folder / "matrix.npz", folder / "states.npz", "--calibrate", 120, "--out",
               tmp_path)[0] == 0
    assert json.loads((tmp_path / "report.json").read_text())["lines"] == []


@pytest.mark.parametrize("words, message", [
    (["nothing.npz"], "File 'nothing.npz' can not be read: No such file or directory"),
    (["states"], "Files must hold the array matrix, not bias, hidden, label only"),
    (["matrix", "matrix"], "Array matrix must be in one file only"),
    (["matrix", "--basis", "whitened"], "must be calibrated on hidden states: no file holds"),
    (["matrix", "--basis", "white"], "--basis: invalid choice: 'white'"),
    (["matrix", "--agreement", "0.9"], "Option --agreement must not be given without the array"),
    (["matrix", "--calibrate", "9"], "Option --calibrate must not be given without the array"),
    (["matrix", "--deviation", "0"], "Option --deviation must be a positive number"),
    (["matrix", "states", "--calibrate", "121"], "Option --calibrate must be in 1..120"),
    (["matrix", "states", "--calibrate", "1"], "chosen on three states at least, not 1"),
    (["matrix", "states", "--count", "9"], "Option --count must be given together with --window"),
    (["matrix", "states", "--window", "17"], "Parameter window must be an integer in 1..16"),
    (["matrix", "states", "--window", "2", "--count", "401"], "integer in 1..400, not 401"),
    (["matrix", "states", "--arithmetic", "0.01"], "Target of arithmetic must be at least"),
    (["matrix", "states", "--top", "2"], "must be of the top 1 or 5 words, not 2"),
    (["matrix", "states", "--full-bits", "17"], "Parameter full_bits must be an integer in 8..16"),
    (["matrix", "states", "--full-bit", "9"], "did you mean"),
    (["matrix", "states", "--dim", "17"], "dim must be the columns of the layer, 16, not 17"),
    (["matrix", "states", "--logit-scale", "1e-4"], "logit_scale must be at least"),
])
def test_refused(inputs, tmp_path, capsys, words, message):
    folder, _ = inputs
    words = [folder / f"{word}.npz" if word in ("matrix", "states") else word for word in words]
    out = tmp_path / "out"
    status, printed, error = run(capsys, *words, "--out", out)
    assert status == 1 and printed == "" and error.count("\n") == 1
    assert error.startswith("sim.svd: error: ") and message in error
    assert not out.exists()


def test_folder_that_can_not_be_written(inputs, tmp_path, capsys):
    folder, _ = inputs
    (tmp_path / "file").write_text("")
    status, _, error = run(capsys, folder / "matrix.npz", "--out", tmp_path / "file")
    assert status == 1 and "can not be written: " in error and error.count("\n") == 1


def test_failure_leaves_nothing(inputs, tmp_path, capsys, monkeypatch):
    """The disk fills up while the last file is written: none of the others is there."""
    folder, _ = inputs
    write = type(tmp_path).write_text

    def full(path, content, **options):
        if "report.json" in path.name:
            raise OSError(28, "No space left on device", str(path))
        return write(path, content, **options)

    monkeypatch.setattr(type(tmp_path), "write_text", full)
    status, _, error = run(capsys, folder / "matrix.npz", "--out", tmp_path)
    assert status == 1 and "No space left on device" in error
    assert list(tmp_path.iterdir()) == []
