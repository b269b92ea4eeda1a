"""What a case would compute, without computing it."""

from perfsim import io
from perfsim.anatomy import MYOCARDIUM


def describe(case: io.Case) -> None:
    """Print the resolved case with its units, and the size, memory and time it would take (fitted to measured runs)."""
    volume = case.anatomy.mass / MYOCARDIUM
    volumes = 1.15 * volume / case.mesh.spacing**3
    vessels = 2.0 * case.tree.terminals + 1400
    # measured on two cores, first start: 1.6 GB and 35 s go into compiling, a second start takes 12 s
    memory = 1.6 + 1.8e-6 * volumes + 5e-6 * vessels
    seconds = 35.0 + 7.5e-5 * volumes + 2.5e-4 * vessels
    print(io.resolved(case))
    print(
        f"# would grow {case.tree.terminals} terminals ({vessels:.0f} vessels), mesh about {volumes:.0f} volumes, "
        f"need about {memory:.1f} GB and {seconds:.0f} s on two cores"
    )
