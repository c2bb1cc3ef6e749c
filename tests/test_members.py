"""Documentation of ports: every member of every component has its shape in a docstring."""

import importlib
import inspect
import pkgutil
import re

import pytest
from amaranth.lib import wiring

import boards
import rtl

# `name, other : In(...)`, also with `<part>` for what parameters name, and `Out(...).array(...)`.
NAME = r"(?:\w|<[\w ]+>)+"
MEMBER = re.compile(rf"({NAME}(?:, {NAME})*) : (.*)")
SHAPED = re.compile(r"(?:In|Out)\(.+\)")


MODULES = [module.name for package in (rtl, boards)
           for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]


def components(module):
    """Classes of components that a module defines."""
    return [cls for cls in vars(importlib.import_module(module)).values()
            if inspect.isclass(cls) and issubclass(cls, wiring.Component)
            and cls.__module__ == module]


def members(cls):
    """Lines of the section ``Members`` that introduce members, or None without a section."""
    section = re.search(r"^Members\n-+(?:\n|\Z)(.*?)(?=\n\n\S+.*\n-+\n|\Z)",
                        inspect.cleandoc(cls.__doc__ or ""), re.MULTILINE | re.DOTALL)
    return section and [line for line in section[1].splitlines()
                        if line and not line.startswith(" ")]


def documented(cls):
    """Names of members that a class and its bases introduce."""
    names = set()
    for base in inspect.getmro(cls):
        for line in members(base) or [] if base.__module__.startswith(("rtl.", "boards.")) else []:
            if match := MEMBER.fullmatch(line):
                names |= set(match[1].split(", "))
    return names


def declared(cls):
    """Names of members that stand in the class: annotations, and keys of its constructor."""
    names = {name for name, value in inspect.get_annotations(cls).items()
             if isinstance(value, wiring.Member)}
    if "__init__" in vars(cls):
        source = inspect.getsource(cls.__init__)
        names |= set(re.findall(r"\"(\w+)\": ?(?:In|Out)\(", source))
    return names


def offences(cls):
    """What is wrong with the documentation of a class's members."""
    lines = members(cls)
    if lines is None:
        inherited = any(members(base) for base in inspect.getmro(cls)[1:]
                        if base.__module__.startswith(("rtl.", "boards.")))
        if not inherited:
            yield "no section Members"
    for line in lines or []:
        match = MEMBER.fullmatch(line)
        if match is None:
            yield f"no member: {line!r}"
        elif not all(map(SHAPED.match, re.split(r" or (?=In|Out)", match[2]))):
            yield f"no shape: {line!r}"
    for name in sorted(declared(cls) - documented(cls)):
        yield f"not documented: {name!r}"


@pytest.mark.parametrize("module", MODULES)
def test_every_member_says_its_shape(module):
    found = {cls.__name__: wrong for cls in components(module) if (wrong := list(offences(cls)))}
    assert found == {}


def test_components_are_found():
    assert sum(len(components(module)) for module in MODULES) > 30
