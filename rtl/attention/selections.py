"""Selections of keys, by the names of the parameter ``select``.

A selection is a component with the ports of :class:`~rtl.attention.every_key.EveryKey`, which takes
queries and puts out the words of keys that each of them meets. Adding one is a file and a line
here; its model is a function of :mod:`sim.model.attention.selection`. Beside the ports of
``EveryKey`` it may have, and the engine connects,

========================================= ====================================================
``query_beat``, ``key_beat``              beats of queries and keys, as they are transferred
``written``                               the key that is written to its store
``preview_word``, ``_bank``, ``preview``  a second read port of the keys' store
``known``                                 part of the dot products that it has made
``broken``, ``error``                     what comes for each of the two sets in the stores is
                                          wrong; pulses when it is found
streams and inputs of its own             those that ``config.streams``, ``config.controls`` name
========================================= ====================================================
"""

from .every_key import EveryKey
from .greedy.post_score import PostScore
from .greedy.selection import SearchedKeys
from .predict.selection import PredictedKeys

__all__ = ["FILTERS", "SELECTIONS"]

#: Selections by name; the first one is that of all keys.
SELECTIONS = {"none": EveryKey, "predict": PredictedKeys, "greedy": SearchedKeys}

#: Components that the rows of logits pass behind the dot products, by the selection's name.
FILTERS = {"greedy": PostScore}
