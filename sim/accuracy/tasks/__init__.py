"""Tasks that a model is measured on: data, predictions, score; one a file."""

from .causal import Perplexity
from .digits import Digits
from .own import OwnScore
from .sentences import Sentiment, Similarity
from .task import Progress, Task
from .vocabulary import MaskedWords

__all__ = ["Digits", "MaskedWords", "OwnScore", "Perplexity", "Progress", "Sentiment",
           "Similarity", "TASKS", "Task"]

#: Tasks by the name that the command takes; each is given the model's name and, if not all are to
#: be taken, the number of examples.
TASKS = {"stsb": Similarity, "sst2": Sentiment, "mlm": MaskedWords, "wikitext2": Perplexity,
         "digits": Digits}
