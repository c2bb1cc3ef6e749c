"""Units inside a PyTorch model: put in, calibrated, compared, generated, taken out."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn

from rtl import UnitConfig
from rtl.generate import generate

from . import batches as inputs
from . import channels, logits
from .batches import Batch
from .comparison import Comparison, Watcher
from .errors import AccuracyError
from .functions import Functions
from .interface import Implementation, has_place, roots
from .kernel import on_cpu
from .modules import is_norm, norm_place, replace_norm, replace_softmax
from .place import NormPlace, SoftmaxPlace, State
from .record import Recorder
from .score import Score, values_of
from .settings import NormSettings, Settings
from .units import layernorm_parameters, softmax_config

__all__ = ["Approximation", "approximate"]


def approximate(model: nn.Module, *, softmax: str | UnitConfig | None = None,
                layernorm: str | UnitConfig | None = None,
                calibrate: Iterable[Batch] | None = None,
                settings: Settings | str | os.PathLike[str] | None = None,
                method: str = "least-squares", percentile: float = 99.9, head_room: float = 0.1,
                per_channel: bool = True) -> Approximation:
    """Put units into a model, in place of its softmaxes and LayerNorms.

    What a unit computes there is what :func:`sim.model.run` computes, bit for bit: the inputs are
    quantised, the outputs scaled, and gradients pass straight through. Projections and products
    stay in float. Attention is found in Hugging Face models, in
    ``scaled_dot_product_attention``, ``nn.MultiheadAttention`` and ``nn.Softmax``; LayerNorm and
    RMSNorm by their type.

    Parameters
    ----------
    model : nn.Module
        On the CPU. It is changed, until :meth:`Approximation.restore`.
    softmax, layernorm : str, config or None
        Unit, as ``"softmax-e2:plus"``, ``"layernorm-exact:bits=10"``, or a configuration; None
        leaves these in float. The step of the logits is calibrated unless it is given.
    calibrate : iterable of batches
        A few batches of the model's inputs, without labels; never the test data. A LayerNorm needs
        them. Without them a softmax keeps its step, and no head has an offset.
    settings : Settings or path
        Of :attr:`Approximation.settings`, in place of ``softmax``, ``layernorm``, ``calibrate``.
    method, percentile, head_room, per_channel
        As of :func:`sim.accuracy.logits.fit` and :func:`sim.accuracy.channels.fit`.

    Raises
    ------
    AccuracyError
        If there is nothing to replace, or an argument is not what is meant. The model is as it was.
    """
    if not isinstance(model, nn.Module):
        raise AccuracyError(f"Argument model must be a torch.nn.Module, not {type(model).__name__}")
    for parameter in model.parameters():
        on_cpu(parameter.device, "Argument model")
    if settings is not None:
        if softmax is not None or layernorm is not None or calibrate is not None:
            raise AccuracyError("Argument settings must come alone, without softmax, layernorm and "
                                "calibrate")
        if not isinstance(settings, Settings):
            settings = Settings.load(settings)
        return Approximation(model, settings)
    if softmax is None and layernorm is None:
        raise AccuracyError("Argument softmax or layernorm must name a unit; neither is given")
    config, fixed_step = (None, False) if softmax is None else softmax_config(softmax)
    wanted = None if layernorm is None else layernorm_parameters(layernorm)
    if calibrate is None:
        if wanted is not None:
            raise AccuracyError("Argument calibrate must be given with layernorm: its scales come "
                                "from activations")
        return Approximation(model, Settings(softmax=config))
    seen = inputs.checked(calibrate, "calibrate")

    # The places alone: the model runs in float, and is looked at.
    places = Approximation(model, Settings(softmax=config), norms=wanted is not None)
    try:
        recorder = Recorder(len(seen))
        with places.observed(recorder):
            for batch in seen:
                recorder.tokens = inputs.tokens_of(batch)
                inputs.run(model, batch)
        chosen = Settings()
        if config is not None:
            chosen = _fit_softmax(places, recorder, config, fixed_step, method, percentile)
        norms = {}
        if wanted is not None:
            norms = _fit_norms(places, recorder, *wanted, method, percentile, head_room,
                               per_channel)
        chosen = Settings(chosen.softmax, chosen.heads, norms)
    finally:
        places.restore()
    return Approximation(model, chosen)


def _fit_softmax(places: Approximation, recorder: Recorder, config: UnitConfig, fixed_step: bool,
                 method: str, percentile: float) -> Settings:
    heads = {name: recorder.heads(place) for name, place in places.softmaxes.items()}
    heads = {name: of_place for name, of_place in heads.items() if of_place}
    if not heads:
        raise AccuracyError(f"Model {type(places.model).__name__} must have a softmax that is "
                            "known: attention of Transformers, scaled_dot_product_attention, "
                            "nn.MultiheadAttention, nn.Softmax, or softmax in a module whose type "
                            "is called an attention")
    every = [head for of_place in heads.values() for head in of_place]
    config, offsets = logits.fit(config, every, method=method, percentile=percentile,
                                 fixed_step=fixed_step)
    result, start = {}, 0
    for name, of_place in heads.items():
        result[name] = tuple(offsets[start:start + len(of_place)])
        start += len(of_place)
    return Settings(config, result)


def _fit_norms(places: Approximation, recorder: Recorder, name: str, out_bits: int,
               parameters: dict[str, object], method: str, percentile: float, head_room: float,
               per_channel: bool) -> dict[str, NormSettings]:
    result = {}
    for module, place in places.norms.items():
        rows = recorder.inputs(place)
        if rows is None:
            continue
        scales = channels.fit(name, rows, place.gamma.numpy(), place.beta.numpy(),
                              epsilon=place.epsilon, out_bits=out_bits, method=method,
                              percentile=percentile, head_room=head_room, per_channel=per_channel,
                              **{**parameters, "rms": place.rms})
        result[module] = NormSettings(scales.config, tuple(scales.input_steps.tolist()),
                                      tuple(scales.output_steps.tolist()), scales.input_offset)
    if not result:
        raise AccuracyError(f"Model {type(places.model).__name__} must have a LayerNorm or RMSNorm "
                            "that its forward pass calls")
    return result


class Approximation:
    """A model with units in it.

    Attributes
    ----------
    model : nn.Module
        The model.
    softmaxes : dict of SoftmaxPlace
        Places of softmax, by the module's name; one comes in when its module first runs.
    norms : dict of NormPlace
        Places of LayerNorm and RMSNorm, by the module's name.
    """

    def __init__(self, model: nn.Module, settings: Settings, *, norms: bool = False) -> None:
        self.model = model
        self._settings = settings
        self._state = State()
        self._names = {id(module): name for name, module in model.named_modules()}
        self.softmaxes: dict[str, SoftmaxPlace] = {}
        self.norms: dict[str, NormPlace] = {}
        self._parts: list[object] = []
        try:
            if settings.softmax is not None:
                self._replace_softmaxes()
            if norms or settings.layernorm:
                self._replace_norms(every=norms)
        except BaseException:
            self.restore()
            raise

    def _replace_softmaxes(self) -> None:
        self._check_known(self._settings.heads)
        for root in roots(self.model):
            self._parts.append(Implementation(root, self._find))
        for module in self.model.modules():
            if isinstance(module, nn.Softmax):
                self._parts.append(replace_softmax(module, self._find(module)))
        self._parts.append(Functions(self.model, self._find, has_place))

    def _replace_norms(self, every: bool) -> None:
        self._check_known(self._settings.layernorm)
        for name, module in self.model.named_modules():
            if not is_norm(module) or not (every or name in self._settings.layernorm):
                continue
            place = norm_place(module, name, self._state)
            norm = self._settings.layernorm.get(name)
            if norm is not None:
                channels_here = len(place.gamma)
                if norm.config.channels != channels_here or norm.config.rms != place.rms:
                    raise AccuracyError(f"Settings of {name} must be for {channels_here} channels "
                                        f"and rms {place.rms}, not for {norm.config.channels} and "
                                        f"{norm.config.rms}")
                place.config, place.input_offset = norm.config, norm.input_offset
                place.input_steps = torch.tensor(norm.input_steps, dtype=torch.float64)
                place.output_steps = torch.tensor(norm.output_steps, dtype=torch.float64)
            self.norms[name] = place
            self._parts.append(replace_norm(module, place))
        if not self.norms:
            raise AccuracyError(f"Model {type(self.model).__name__} must have a LayerNorm or "
                                "RMSNorm that is known by its type")

    def _check_known(self, names: Iterable[str]) -> None:
        known = set(self._names.values())
        for name in names:
            if name not in known:
                raise AccuracyError(f"Settings name {name}, which model "
                                    f"{type(self.model).__name__} does not have")

    def _find(self, module: nn.Module) -> SoftmaxPlace:
        name = self._names.get(id(module), type(module).__name__)
        if name not in self.softmaxes:
            offsets = self._settings.heads.get(name, ())
            place = SoftmaxPlace(name, self._settings.softmax, self._state)
            if offsets:
                place.offsets = torch.tensor(offsets, dtype=torch.int32)
            self.softmaxes[name] = place
        return self.softmaxes[name]

    # Use

    @property
    def settings(self) -> Settings:
        """Configurations and scales, to be saved and to be given to :func:`approximate`."""
        return self._settings

    @contextlib.contextmanager
    def observed(self, observer: object) -> Iterator[None]:
        """Let ``observer`` look on, in evaluation mode and without gradients."""
        training = {module: module.training for module in self.model.modules()}
        self._state.observer = observer
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self._state.observer = None
            for module, was in training.items():
                module.training = was

    @contextlib.contextmanager
    def disabled(self) -> Iterator[None]:
        """Let the model run in float inside a ``with`` block."""
        self._state.enabled = False
        try:
            yield
        finally:
            self._state.enabled = True

    @contextlib.contextmanager
    def only(self, names: Iterable[str]) -> Iterator[None]:
        """Let the units of some places compute inside a ``with`` block, all others in float."""
        self._state.only = frozenset(names)
        try:
            yield
        finally:
            self._state.only = None

    def score(self, function: Callable[[nn.Module], object]) -> Score:
        """Return what ``function(model)`` says of the model in float and with the units.

        Parameters
        ----------
        function : callable
            Returns a number, or an array of one number an example, whose mean is the score: only
            that tells a standard error. The model is in evaluation mode, without gradients.
        """
        with self.disabled(), self.observed(None):
            exact = values_of(function, self.model)
        with self.observed(None):
            units = values_of(function, self.model)
        return Score.of(exact, units)

    def compare(self, test_batches: Iterable[Batch]) -> Comparison:
        """Run batches in float and with the units, and return how far the two are apart.

        The errors of each place are those of its unit alone, on the inputs that it gets.
        """
        watcher = Watcher()
        for batch in inputs.checked(test_batches, "test_batches"):
            watcher.tokens = inputs.tokens_of(batch)
            with self.disabled(), self.observed(None):
                exact = inputs.run(self.model, batch)
            with self.observed(watcher):
                approximate_ = inputs.run(self.model, batch)
            pair = [next(inputs.outputs_of(output), None) for output in (exact, approximate_)]
            if pair[0] is None:
                raise AccuracyError(f"Model {type(self.model).__name__} must put out a float "
                                    "tensor")
            watcher.output(*pair)
        return watcher.result()

    def emit(self, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
        """Generate the units as Verilog, and ``scales.json`` beside them.

        ``scales.json`` holds :attr:`settings`: which module of the model has which unit, and its
        scales.

        Returns
        -------
        list of paths
            Folder of each unit, then the file of scales.
        """
        settings = self.settings
        configs = {norm.config.name: norm.config for norm in settings.layernorm.values()}
        if settings.softmax is not None:
            configs = {settings.softmax.name: settings.softmax, **configs}
        folder = pathlib.Path(folder)
        for config in configs.values():
            generate(config, folder)
        settings.save(folder / "scales.json")
        return [*(folder / name for name in configs), folder / "scales.json"]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save :attr:`settings` to a ``.toml`` or ``.json`` file."""
        self.settings.save(path)

    def restore(self) -> None:
        """Take the units out: the model is as it was. A second time does nothing."""
        while self._parts:
            self._parts.pop().restore()
