"""Compiling what a CPU does for every pixel: numba turns a Python function into machine code when it is first called.

Frames and spots are worked on one by one, and what is worked on stays in the cache, where torch would write and read
whole stacks for every operation. The code is kept on disk: a second start of the program loads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., object])

_ALGEBRA = {"contract"}
"""What the compiler may do to sums: multiply and add in one step. Not: change their order, or take for granted that
nothing is infinite or not a number."""


def compiled(function: Function) -> Function:
    """``function`` as machine code that lets go of Python's lock; only what numba knows may stand in it.

    Division by zero is infinite or not a number, as in numpy.
    """
    try:
        return _compile(function, cache=True)
    except RuntimeError:
        # Neither the package's folder nor the user's own cache can be written: compiled anew in every process.
        return _compile(function, cache=False)


def _compile(function: Function, cache: bool) -> Function:
    made: Function = numba.njit(function, nogil=True, fastmath=_ALGEBRA, error_model="numpy", cache=cache)
    return made
