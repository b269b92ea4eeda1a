"""Floating-point precision: float64 is needed to build and by default to solve, float32 is chosen by name."""

from typing import Literal, TypeVar, get_args

from perfsim._results import InputError

Precision = Literal["f64", "f32"]
Tree = TypeVar("Tree")


def enable_x64() -> None:
    """Let jax compute in float64, which perfsim needs: call it once, before any array is made.

    The same as `jax.config.update("jax_enable_x64", True)`, or as `JAX_ENABLE_X64=1` in the environment.
    """
    import jax

    jax.config.update("jax_enable_x64", True)


def require_float64() -> None:
    """Raise `InputError` where jax has no float64: lengths in metres and flows in m³/s then lose their balance."""
    import jax

    if jax.dtypes.canonicalize_dtype("float64") != "float64":
        raise InputError(
            "jax computes in float32 only, and perfsim needs float64: call `perfsim.enable_x64()` first, or set "
            "JAX_ENABLE_X64=1"
        )


def cast(tree: Tree, precision: Precision) -> Tree:
    """A pytree with all its floating-point arrays in this precision, weakly typed ones too.

    What is computed of float32 arrays alone is computed in float32. Raises `InputError` for another `precision`, and
    for f64 where jax has none.
    """
    import equinox as eqx
    import jax

    if precision not in get_args(Precision):
        raise InputError(f"there is no precision {precision!r}: choose f64 or f32")
    if precision == "f64":
        require_float64()
    dtype = {"f64": "float64", "f32": "float32"}[precision]
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, dtype) if eqx.is_inexact_array(x) else x, tree)
