"""Live super-resolved video beside Micro-Manager.

    import dblink_live as dbl

    run = dbl.run("stack.tif", "cell1.run", pixel_size_nm=108, progress=True)
    run = dbl.refine(run, progress=True)
    dbl.report(run)

The public names are listed in `__init__.pyi` beside this file. Each is imported when it is first used: the viewer and
the camera process import this package too and must stay free of torch.
"""

import sys
from types import ModuleType

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _Face(ModuleType):
    """Keep the functions `refine` and `report`: importing the rooms of these names would put modules in their place."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
