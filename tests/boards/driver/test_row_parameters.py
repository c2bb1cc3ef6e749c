"""Softmax units whose rows bring parameters: by registers, and beside the rows."""

import numpy as np
import pytest

import rtl
from boards.driver import Device
from boards.driver.packing import packed_users
from boards.driver.row_parameters import RowParameters
from boards.driver.simulation import Simulation
from sim import model

CONFIG = rtl.unit("softmax-e2")(lanes=3, max_length=8, accumulator_bits=12, sink=True)
OWN = {"multiplier": np.array([[3], [60000], [9]]), "shift": np.array([[2], [20], [3]]),
       "offset": np.array([[-9, 30]]), "sink": np.array([[5], [-128], [20]]),
       "sink_valid": np.array([[1, 0], [1, 1], [0, 1]])}
FIELDS = {"multiplier": 16, "shift": 6, "offset": 8, "sink": 8, "sink_valid": 1}


def accumulators():
    return np.random.default_rng(1).integers(-2048, 2048, (3, 2, 5))


@pytest.mark.slow
@pytest.mark.parametrize("user", ["memory", pytest.param("constant", marks=pytest.mark.slow)])
def test_rows(user):
    """Values of their own, beside the rows or set by set through registers; values that they share.

    Masks too, where there is a channel for them.
    """
    simulation = Simulation(CONFIG, user=user, interrupts=False)
    device = Device(simulation, simulation.manifest, timeout=0.2)
    x, options = accumulators(), {}
    if user == "memory":
        options["mask"] = np.random.default_rng(2).random(x.shape) < 0.3
    assert RowParameters.fields(device.registers) == FIELDS
    y = device.softmax(x, **OWN, **options, verify=True)
    assert np.array_equal(y, model.run(CONFIG, x, **OWN, **options))
    # Those of all rows; without a sink; and again values of their own, of one parameter.
    shared = {"multiplier": 700, "shift": 8}
    plain = device.softmax(x, **shared, **options, verify=True)
    assert not np.array_equal(plain, device.softmax(x, **shared, sink=90, **options, verify=True))
    device.softmax(x[:2, 0], multiplier=700, shift=[8, 7], verify=True)
    if user == "memory":
        # One transfer for all rows.
        assert device.registers.read("DMA_I_DONE") == 4


def test_words_are_those_of_the_layout():
    """First beats have the parameters above the mask, as the hardware takes them apart."""
    row = RowParameters(FIELDS, OWN, (3, 2))
    mask = np.random.default_rng(2).random((6, 5)) < 0.3
    words = packed_users(mask, 3, 39, row.bits()).reshape(6, 2, -1)
    layout = CONFIG.input_layout["row"].shape
    for n, (first, second) in enumerate(words):
        value = int.from_bytes(first.tobytes(), "little")
        assert value & 7 == sum(int(each) << k for k, each in enumerate(mask[n, :3]))
        found = layout.from_bits(value >> 3)
        assert {name: int(found[name]) for name in FIELDS} == {
            name: int(np.broadcast_to(each, (3, 2)).reshape(6)[n]) for name, each in OWN.items()}
        assert int.from_bytes(second.tobytes(), "little") == \
            sum(int(each) << k for k, each in enumerate(mask[n, 3:]))


@pytest.mark.parametrize("change, kind, message", [
    ({"shift": None}, ValueError, "Parameter shift must be given: the rows of the unit have no"),
    ({"bias": 1}, ValueError, "Parameter bias must not be given: the rows of the unit have multi"),
    ({"shift": 64}, ValueError, "Parameter shift must be in 0..63, not 64..64"),
    ({"sink": -129}, ValueError, "Parameter sink must be in -128..127, not -129..-129"),
    ({"sink": 0.5}, TypeError, "Parameter sink must be of integers, not float64"),
    ({"shift": [1, 2, 3]}, ValueError,
     r"Parameter shift must have one value for each of the rows, of shape \(3, 2\), not \(3,\)")])
def test_parameters_that_do_not_suit(change, kind, message):
    given = {name: value for name, value in {**OWN, **change}.items() if value is not None}
    with pytest.raises(kind, match=f"^{message}"):
        RowParameters(FIELDS, given, (3, 2))


def test_rows_without_parameters():
    with pytest.raises(ValueError, match="^Parameter sink must not be given: .* no parameters"):
        RowParameters({}, {"sink": 1}, (2,))
    # Sinks take part if they are given.
    (values, rows), = RowParameters({"sink": 8, "sink_valid": 1}, {}, (2,)).groups()
    assert values == {"sink": 0, "sink_valid": 0} and rows.tolist() == [0, 1]
    (values, _), = RowParameters({"sink": 8, "sink_valid": 1}, {"sink": 3}, (2,)).groups()
    assert values == {"sink": 3, "sink_valid": 1}
