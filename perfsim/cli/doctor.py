"""Is this installation in order?"""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from perfsim import __version__, _runtime

PACKAGES = (
    "jax",
    "jaxlib",
    "equinox",
    "optimistix",
    "diffrax",
    "arviz-stats",
    "numpy",
    "scipy",
    "networkx",
    "pyvista",
    "nibabel",
    "plotly",
)


def examine() -> None:
    """Print versions, precision and devices, and solve a tube whose answer is known."""
    print(f"perfsim {__version__}, Python {platform.python_version()} on {platform.platform()}")
    for name in PACKAGES:
        try:
            print(f"  {name:<12} {version(name)}")
        except PackageNotFoundError:
            print(f"  {name:<12} MISSING: pip install {name}")
            sys.exit(3)
    import jax

    print(f"devices      {', '.join(str(d) for d in jax.devices())}")
    print(f"precision    {jax.numpy.zeros(()).dtype}")
    print(f"compiled     programs are kept in {_runtime.enable_compile_cache() or 'memory only'}")
    error = tube_error()
    print(f"self-test    a tube's flow to {error:.0e} of Poiseuille's: {'ok' if error < 1e-5 else 'WRONG'}")
    sys.exit(0 if error < 1e-5 else 4)


def tube_error() -> float:
    """Relative error of the flow through one tube and its outlet."""
    from perfsim.blood import ConstantViscosity
    from perfsim.coupling import network_only, simulate
    from perfsim.flow import LumpedOutlets, NoLoss
    from perfsim.network import VesselNetwork

    import numpy as np

    network = VesselNetwork.build([[0, 0, 0], [0, 0, 0.1]], [0], [1], [1.5e-3], inlets=[0], outlets=[1])
    sim = network_only(
        network, LumpedOutlets([1e9], [0.0], [0.0]), aortic_pressure=1.2e4, viscosity=ConstantViscosity(), loss=NoLoss()
    )
    exact = 1.2e4 / (8 * 3.5e-3 * 0.1 / (np.pi * 1.5e-3**4) + 1e9)
    return abs(float(simulate(sim).hyperemia.inlet_flow[0]) / exact - 1.0)
