"""Files in and out: cases, tables, trees, VTK, NIfTI.

Names are resolved on first use (see `__init__.pyi`), so that reading a file does not load jax.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
