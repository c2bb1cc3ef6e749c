"""Units inside a PyTorch model: put in, calibrated, compared, generated, taken out."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn

from rtl import UnitConfig

from . import batches as inputs
from .batches import Batch
from .comparison import Comparison, Watcher
from .engine_fitting import fit_attentions
from .engine_place import EnginePlace
from .errors import AccuracyError
from .fitting import LayerRows, fit_layernorms, fit_softmax
from .functions import Functions
from .interface import Implementation, has_place, roots
from .kernel import on_cpu
from .modules import is_norm, norm_place, replace_norm, replace_softmax
from .place import NormPlace, SoftmaxPlace, State
from .record import Recorder
from .score import Score, values_of
from .settings import NormSettings, Settings
from .units import attention_parameters, layernorm_parameters, softmax_config

__all__ = ["Approximation", "approximate"]


def approximate(model: nn.Module, *, softmax: str | UnitConfig | None = None,
                layernorm: str | UnitConfig | None = None,
                attention: str | UnitConfig | None = None,
                calibrate: Iterable[Batch] | None = None,
                settings: Settings | str | os.PathLike[str] | None = None,
                method: str = "least-squares", percentile: float = 99.9, head_room: float = 0.1,
                per_channel: bool = True, per_head: bool = False) -> Approximation:
    """Put units into a model, in place of its softmaxes, whole attentions and LayerNorms.

    What a unit computes there is what :func:`sim.model.run` computes, bit for bit: the inputs are
    quantised, the outputs scaled, and gradients pass straight through. All else stays in float.
    Attention is found in Hugging Face models, in
    ``scaled_dot_product_attention``, ``nn.MultiheadAttention`` and ``nn.Softmax``; LayerNorm and
    RMSNorm by their type.

    Parameters
    ----------
    model : nn.Module
        On the CPU. It is changed, until :meth:`Approximation.restore`.
    softmax, layernorm : str, config or None
        Unit, as ``"softmax-e2:plus"``, ``"layernorm-exact:bits=10"``, or a configuration; None
        leaves these in float. The step of the logits is calibrated unless it is given.
    attention : str, config or None
        Engine, as ``"attention:predict,max_keys=128"``, in place of ``softmax``. ``dim`` and
        ``causal`` are the model's; scales are calibrated unless they are given by name.
    calibrate : iterable of batches
        A few batches of the model's inputs, without labels; never the test data. A LayerNorm and an
        engine need them. Without them a softmax keeps its step, and no head has an offset.
    settings : Settings or path
        Of :attr:`Approximation.settings`, in place of the units and ``calibrate``.
    method, percentile, head_room, per_channel, per_head
        As of :func:`sim.accuracy.logits.fit`, :func:`sim.accuracy.channels.fit` and
        :func:`sim.accuracy.engine_fitting.fit_attention`.

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
        if any(each is not None for each in (softmax, layernorm, attention, calibrate)):
            raise AccuracyError("Argument settings must come alone, without softmax, layernorm, "
                                "attention and calibrate")
        if not isinstance(settings, Settings):
            settings = Settings.load(settings)
        return Approximation(model, settings)
    if softmax is None and layernorm is None and attention is None:
        raise AccuracyError("Argument softmax, layernorm or attention must name a unit; none is "
                            "given")
    if softmax is not None and attention is not None:
        raise AccuracyError("Argument attention must come without softmax: an engine has its own, "
                            "as 'attention:dense,softmax=softmax-e2:plus'")
    config, fixed_step = (None, False) if softmax is None else softmax_config(softmax)
    norm = None if layernorm is None else layernorm_parameters(layernorm)
    engine = None if attention is None else attention_parameters(attention)
    if calibrate is None:
        for name, wanted in (("layernorm", norm), ("attention", engine)):
            if wanted is not None:
                raise AccuracyError(f"Argument calibrate must be given with {name}: its scales "
                                    "come from activations")
        return Approximation(model, Settings(softmax=config))
    seen = inputs.checked(calibrate, "calibrate")

    # The places alone: the model runs in float, and is looked at.
    places = Approximation(model, Settings(softmax=config), norms=norm is not None,
                           engines=engine is not None)
    try:
        recorder = Recorder(len(seen))
        with places.observed(recorder):
            for batch in seen:
                recorder.tokens = inputs.tokens_of(batch)
                inputs.run(model, batch)
        options = {"method": method, "percentile": percentile}
        chosen, norms, engines = Settings(), {}, {}
        if config is not None:
            chosen = _fit_softmax(places, recorder, config, fixed_step=fixed_step, **options)
        if engine is not None:
            engines = _fit_attention(places, recorder, engine, per_head=per_head, **options)
        if norm is not None:
            norms = _fit_norms(places, recorder, norm, head_room=head_room,
                               per_channel=per_channel, **options)
        chosen = Settings(chosen.softmax, chosen.heads, norms, engines)
    finally:
        places.restore()
    return Approximation(model, chosen)


def _fit_softmax(places: Approximation, recorder: Recorder, config: UnitConfig,
                 **options: object) -> Settings:
    heads = {name: recorder.heads(place) for name, place in places.softmaxes.items()}
    heads = {name: of_place for name, of_place in heads.items() if of_place}
    if not heads:
        raise AccuracyError(f"Model {type(places.model).__name__} must have a softmax that is "
                            "known: attention of Transformers, scaled_dot_product_attention, "
                            "nn.MultiheadAttention, nn.Softmax, or softmax in a module whose type "
                            "is called an attention")
    return fit_softmax(config, heads, **options)


def _fit_attention(places: Approximation, recorder: Recorder, wanted: tuple,
                   **options: object) -> dict[str, tuple[UnitConfig, ...]]:
    rows = {name: recorder.attention_rows(place) for name, place in places.attentions.items()}
    rows = {name: found for name, found in rows.items() if found is not None}
    if not rows:
        raise AccuracyError(f"Model {type(places.model).__name__} must have an attention that is "
                            "known: of Transformers, scaled_dot_product_attention or "
                            "nn.MultiheadAttention")
    return fit_attentions(*wanted, rows, **options)


def _fit_norms(places: Approximation, recorder: Recorder, wanted: tuple,
               **options: object) -> dict[str, NormSettings]:
    layers = {}
    for name, place in places.norms.items():
        rows = recorder.inputs(place)
        if rows is not None:
            layers[name] = LayerRows(rows, place.gamma.numpy(), place.beta.numpy(), place.epsilon,
                                     place.rms)
    if not layers:
        raise AccuracyError(f"Model {type(places.model).__name__} must have a LayerNorm or RMSNorm "
                            "that its forward pass calls")
    return fit_layernorms(*wanted, layers, **options)


class Approximation:
    """A model with units in it.

    Attributes
    ----------
    model : nn.Module
        The model.
    softmaxes : dict of SoftmaxPlace
        Places of softmax, by the module's name; one comes in when its module first runs.
    attentions : dict of EnginePlace
        Places of engines, likewise.
    norms : dict of NormPlace
        Places of LayerNorm and RMSNorm, by the module's name.
    """

    def __init__(self, model: nn.Module, settings: Settings, *, norms: bool = False,
                 engines: bool = False) -> None:
        self.model = model
        self._settings = settings
        self._state = State()
        self._names = {id(module): name for name, module in model.named_modules()}
        self.softmaxes: dict[str, SoftmaxPlace] = {}
        self.attentions: dict[str, EnginePlace] = {}
        self.norms: dict[str, NormPlace] = {}
        self._engines = engines or bool(settings.attention)
        self._parts: list[object] = []
        try:
            if settings.softmax is not None and self._engines:
                raise AccuracyError("Settings must have a softmax or engines, not both")
            if settings.softmax is not None or self._engines:
                self._replace_softmaxes()
            if norms or settings.layernorm:
                self._replace_norms(every=norms)
        except BaseException:
            self.restore()
            raise

    def _replace_softmaxes(self) -> None:
        self._check_known([*self._settings.heads, *self._settings.attention])
        for root in roots(self.model):
            self._parts.append(Implementation(root, self._find))
        for module in self.model.modules():
            if isinstance(module, nn.Softmax) and not self._engines:
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

    def _find(self, module: nn.Module) -> SoftmaxPlace | EnginePlace:
        name = self._names.get(id(module), type(module).__name__)
        if self._engines:
            if name not in self.attentions:
                self.attentions[name] = EnginePlace(name, self._state,
                                                    self._settings.attention.get(name, ()))
            return self.attentions[name]
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
        return self.settings.emit(folder)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save :attr:`settings` to a ``.toml`` or ``.json`` file."""
        self.settings.save(path)

    def restore(self) -> None:
        """Take the units out: the model is as it was. A second time does nothing."""
        while self._parts:
            self._parts.pop().restore()
