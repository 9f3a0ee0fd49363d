"""Public names say what they are, and those that scripts use show how."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import dblink_live

FACE = [name for name in dblink_live.__all__ if callable(getattr(dblink_live, name))]
ROOMS = [f"dblink_live.{found.name}" for found in pkgutil.iter_modules(dblink_live.__path__) if found.ispkg]
WRITTEN_OUT = ("args", "kwargs", "self")


@pytest.mark.parametrize("name", FACE)
def test_every_name_of_the_face_has_an_example(name: str) -> None:
    text = inspect.getdoc(getattr(dblink_live, name)) or ""
    assert "Examples\n--------" in text


@pytest.mark.parametrize("name", FACE)
def test_every_parameter_of_a_function_of_the_face_is_explained(name: str) -> None:
    found = getattr(dblink_live, name)
    if inspect.isclass(found):
        return
    text = inspect.getdoc(found) or ""
    parameters = [one for one in inspect.signature(found).parameters if one not in WRITTEN_OUT]
    assert not [one for one in parameters if one not in text]


@pytest.mark.parametrize("name", [name for name in FACE if inspect.isclass(getattr(dblink_live, name))])
def test_every_method_of_a_class_of_the_face_is_explained(name: str) -> None:
    own = {key: one for key, one in vars(getattr(dblink_live, name)).items() if not key.startswith("_")}
    methods = {
        key: one for key, one in own.items() if isinstance(one, property | classmethod) or inspect.isroutine(one)
    }
    assert not [key for key, one in methods.items() if not (inspect.getdoc(one) or "").strip()]


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_of_a_room_is_explained(room: str) -> None:
    module = importlib.import_module(room)
    public = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    functions_and_classes = {
        name: one for name, one in public.items() if inspect.isroutine(one) or inspect.isclass(one)
    }
    unexplained = [name for name, one in functions_and_classes.items() if not (inspect.getdoc(one) or "").strip()]
    assert not unexplained
