"""Places of kept keys in their rows, against a plain loop."""

import numpy as np
import pytest

from sim.model.attention.places import beats, places


def plain(lanes, met, kept):
    """Places of a row: lists of each lane's keys, zipped; beats without a kept key drop out."""
    own = [[key for key in range(lane, len(met), lanes) if met[key]] for lane in range(lanes)]
    rows = [[keys[beat] if beat < len(keys) else None for keys in own]
            for beat in range(max(map(len, own)))]
    rows = [row for row in rows if any(key is not None and kept[key] for key in row)]
    return {key: beat * lanes + lane for beat, row in enumerate(rows)
            for lane, key in enumerate(row) if key is not None and kept[key]}


@pytest.mark.parametrize("lanes", [1, 2, 3, 8])
def test_places(lanes):
    random = np.random.default_rng(lanes)
    met = random.random((3, 20, 13)) < random.choice([0, 0.1, 0.5, 1], (3, 20, 1))
    kept = met & (random.random(met.shape) < random.choice([0, 0.5, 1], (3, 20, 1)))
    found, taken = places(lanes, met, kept), beats(lanes, met)
    for at in np.ndindex(3, 20):
        wanted = plain(lanes, met[at], kept[at])
        assert {key: found[at][key] for key in np.flatnonzero(kept[at])} == wanted
        everything = plain(lanes, met[at], met[at])
        assert taken[at] == max(everything.values(), default=0) // lanes + 1
