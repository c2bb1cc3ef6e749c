"""The house: which room may import which, no circles, how deep classes inherit.

The rules are read off the source: every import counts, those inside functions too.
"""

import ast
import functools
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest
from amaranth.lib import wiring

import boards
import rtl
from rtl import UnitConfig

ROOT = Path(__file__).parents[1]
PACKAGES = tuple(name for name in ("rtl", "sim", "boards") if (ROOT / name).is_dir())

# What a room may import of the project besides itself; a file or a folder, nearest room first.
ALLOWED = {
    "rtl.fixed": (),
    "rtl.parameter": (),
    "rtl.progress": (),
    "rtl.publish": (),
    "rtl.data_sheet": (),
    "rtl.measured": ("rtl.config", "rtl.parameter"),
    "rtl.tables": ("rtl.fixed",),
    "rtl.config": ("rtl.parameter", "rtl.data_sheet"),
    "rtl.options": ("rtl.config", "rtl.parameter"),
    "rtl.blocks": ("rtl.fixed", "rtl.tables"),
    "rtl.stream": ("rtl.blocks", "rtl.fixed"),
    "rtl.bus": ("rtl.stream", "rtl.blocks", "rtl.fixed"),
    "rtl.emit": ("rtl.bus", "rtl.config", "rtl.__init__"),
    "rtl.fusesoc": ("rtl.generate", "rtl.emit", "rtl.config", "rtl.bus.dma_unit"),
    "rtl.softmax": ("rtl.stream", "rtl.blocks", "rtl.fixed", "rtl.tables", "rtl.config",
                    "rtl.data_sheet", "rtl.parameter"),
    "rtl.layernorm": ("rtl.stream", "rtl.blocks", "rtl.fixed", "rtl.tables", "rtl.config",
                      "rtl.data_sheet", "rtl.parameter"),
    # Units of softmax come from the registry. Exponentials without a division are no unit.
    "rtl.attention": ("rtl.stream", "rtl.blocks", "rtl.fixed", "rtl.tables", "rtl.config",
                      "rtl.data_sheet", "rtl.parameter", "rtl.softmax.exponentials",
                      "rtl.softmax.choice", "rtl.softmax.grid", "rtl.softmax.positions"),
    "rtl.svd": ("rtl.stream", "rtl.blocks", "rtl.fixed", "rtl.tables", "rtl.config",
                "rtl.data_sheet", "rtl.parameter", "rtl.softmax.choice"),
    "sim.model": ("rtl.fixed", "rtl.tables", "rtl.config", "rtl.__init__", "sim.data.columns"),
    # What runs inside a simulator, and what it is given.
    "sim.bench": ("rtl", "sim.stimuli", "sim.data"),
    "sim.stimuli": ("rtl", "sim.bench", "sim.data", "sim.accuracy.calibrate"),
    "sim.errors": (),
    "sim.memory": (),
    "sim.data": ("rtl", "sim.reference", "sim.errors"),
    "sim.accuracy": ("rtl", "sim.model", "sim.data", "sim.reference", "sim.metrics",
                     "sim.errors", "sim.memory"),
    "sim.svd": ("rtl", "sim.model", "sim.data", "sim.errors"),
    # The driver takes a model on request only.
    "boards": ("rtl", "sim.model", "sim.data.svd_image"),
    # Both ends of the serial line: the host's has nothing of the hardware.
    "boards.serial.protocol": (),
    "boards.serial.transport": ("boards.serial.protocol", "boards.driver"),
}
# A method never imports a sibling: the files that are methods.
METHODS = {
    "rtl.softmax": ("e2", "lut2d", "rexp", "softermax", "split", "exponentials"),
    "rtl.layernorm": ("ai", "exact"),
    "sim.model.softmax": ("e2", "lut2d", "rexp", "softermax", "split"),
    "sim.model.layernorm": ("ai", "exact"),
}
# On top: nobody imports them but themselves and what is in the same folder.
TOP = ("sim.report", "sim.explore", "sim.regress")


# Imports -----------------------------------------------------------------------------------------

def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@functools.cache
def modules():
    """Project modules, a package's own file as ``package.__init__``, with what each imports."""
    files = {name_of(path): path for package in PACKAGES
             for path in sorted((ROOT / package).rglob("*.py"))}
    return {name: imports(name, path, files) for name, path in files.items()}


def imports(name, path, files):
    """Project modules that a file imports, by full name."""
    found = set()

    def add(target, names=()):
        if target.partition(".")[0] not in PACKAGES:
            found.add(target.partition(".")[0])
            return
        inside = [f"{target}.{each}" for each in names]
        for each, whole in zip(names, inside, strict=True):
            if whole in files:
                found.add(whole)
            elif f"{whole}.__init__" in files:
                found.add(f"{whole}.__init__")
            else:
                add(target) if each else None
        if not names:
            found.add(target if target in files else f"{target}.__init__")

    package = name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                add(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else []
            add(".".join([*base, *(node.module or "").split(".")]).strip("."),
                [alias.name for alias in node.names])
    return found - {name}


def within(name, room):
    return name == room or name.startswith(f"{room}.")


@pytest.mark.parametrize("room", ALLOWED)
def test_room_imports_what_it_may(room):
    wrong = [f"{name} imports {target}" for name, targets in modules().items()
             if within(name, room)
             for target in targets if target.partition(".")[0] in PACKAGES
             and not any(within(target, each) for each in (room, *ALLOWED[room]))]
    assert wrong == []


def test_every_room_of_rtl_has_a_rule():
    rooms = {".".join(name.split(".")[:2]) for name in modules() if name.startswith("rtl.")}
    assert rooms - set(ALLOWED) == {"rtl.__init__", "rtl.generate"}


@pytest.mark.parametrize("package", METHODS)
def test_method_imports_no_sibling(package):
    methods = {f"{package}.{name}" for name in METHODS[package]}
    assert methods <= set(modules())
    assert [(name, target) for name in methods for target in modules()[name] & methods] == []


def test_rtl_imports_neither_sim_nor_numpy():
    outside = {"sim", "boards", "numpy", "cocotb"}
    assert [(name, target) for name, targets in modules().items() if within(name, "rtl")
            for target in targets if target.partition(".")[0] in outside] == []


def test_boards_import_rtl_only():
    assert [(name, target) for name, targets in modules().items() if within(name, "boards")
            for target in targets
            if within(target, "sim") and not within(target, "sim.model")
            and target != "sim.data.svd_image"] == []


def test_sim_does_not_import_boards():
    assert [(name, target) for name, targets in modules().items() if within(name, "sim")
            for target in targets if within(target, "boards")] == []


@pytest.mark.parametrize("room", TOP)
def test_nobody_imports_what_stands_on_top(room):
    assert [(name, target) for name, targets in modules().items() if not within(name, room)
            for target in targets if within(target, room)] == []


def test_tests_import_no_other_test():
    names = {path.stem for path in (ROOT / "tests").rglob("*.py")}
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom | ast.Import):
                for alias in node.names:
                    module = getattr(node, "module", None) or alias.name
                    assert module.partition(".")[0] != "tests" and module not in names, path


def test_no_circles():
    """A package's own file only hands names on: importing a module of it does not count as one."""
    waiting = {name: {target for target in targets if target in modules()
                      and not target.endswith("__init__")}
               for name, targets in modules().items()}
    while free := [name for name, targets in waiting.items() if not targets & set(waiting)]:
        for name in free:
            del waiting[name]
    assert sorted(waiting) == []


# Classes -----------------------------------------------------------------------------------------

def classes():
    for info in (*pkgutil.walk_packages(rtl.__path__, "rtl."),
                 *pkgutil.walk_packages(boards.__path__, "boards.")):
        module = importlib.import_module(info.name)
        for cls in vars(module).values():
            if inspect.isclass(cls) and cls.__module__ == info.name:
                yield cls


def steps(cls):
    """Steps of inheritance from a class down to the first that is not the project's."""
    below = [steps(base) for base in cls.__bases__
             if base.__module__.startswith(("rtl.", "boards.")) and base is not UnitConfig]
    return 1 + max(below, default=0)


def test_inheritance_is_at_most_two_deep():
    """Below a class of a library; for configurations below ``UnitConfig``."""
    assert {f"{cls.__module__}.{cls.__name__}": steps(cls) for cls in classes()
            if steps(cls) > 2} == {}


def test_components_set_no_attributes_outside_their_constructor():
    """They are wired through ports: ``elaborate`` hands nothing on through ``self``."""
    wrong = []
    for cls in classes():
        if not issubclass(cls, wiring.Component):
            continue
        for node in ast.walk(ast.parse(inspect.cleandoc("\n" + inspect.getsource(cls)))):
            if isinstance(node, ast.FunctionDef) and node.name != "__init__":
                wrong += [f"{cls.__qualname__}.{node.name}: {ast.unparse(target)}"
                          for part in ast.walk(node) if isinstance(part, ast.Assign | ast.AnnAssign)
                          for whole in getattr(part, "targets", None) or [part.target]
                          for target in ast.walk(whole)
                          if isinstance(target, ast.Attribute)
                          and isinstance(target.value, ast.Name) and target.value.id == "self"]
    assert wrong == []
