"""Synthetic trees: forests of arterioles from segmented trunks into the wall.

Names are resolved on first use (see `__init__.pyi`), so that growing does not load jax.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
