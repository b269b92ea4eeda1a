"""perfsim: a differentiable multiscale simulator of blood flow from the coronary arteries into the heart muscle.

The public names are resolved on first use (see `__init__.pyi`), so that ``import perfsim`` and ``perfsim --help`` stay
light. Importing perfsim changes nothing of other libraries: call `enable_x64` before anything is computed.
"""

import logging

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
logging.getLogger(__name__).addHandler(logging.NullHandler())  # what is logged is shown by who asks for it
