"""How much of a tracer leaves the blood in one passage."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class RenkinCrone(eqx.Module):
    """K1 = F (1 - a e^(-b/F)) (Renkin 1959, Crone 1963), F and b in mL/min/g; increasing and concave in F."""

    a: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    b: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    def __call__(self, flow: Float[Array, " ..."]) -> Float[Array, " ..."]:
        """K1 [mL/min/g] of a flow."""
        still = flow <= 0
        return jnp.where(still, flow, flow * (1.0 - self.a * jnp.exp(-self.b / jnp.where(still, 1.0, flow))))

    def flow(self, K1: Float[Array, " ..."]) -> Float[Array, " ..."]:
        """The flow of a K1, by Newton's method; its derivative is that of the inverse function.

        From F = K1, which is too low, the tangents of a concave function approach its root from below.
        """
        return _inverse(self, jnp.asarray(K1, float))


@eqx.filter_custom_jvp
def _inverse(law: RenkinCrone, K1):
    slope = jax.vmap(jax.grad(lambda f: law(f)))

    def step(_, flow):
        flat = jnp.maximum(flow, 1e-12).ravel()
        return flow - (law(flow) - K1) / slope(flat).reshape(flow.shape)

    return jax.lax.fori_loop(0, 40, step, jnp.maximum(K1, 1e-12))


@_inverse.def_jvp
def _inverse_jvp(primals, tangents):
    law, K1 = primals
    dlaw, dK1 = tangents
    flow = _inverse(law, K1)
    _, by_flow = jax.jvp(law, (flow,), (jnp.ones_like(flow),))
    moved = jnp.zeros_like(flow) if dK1 is None else dK1
    if dlaw is not None and jax.tree.leaves(dlaw):
        _, by_law = eqx.filter_jvp(lambda x: x(flow), (law,), (dlaw,))
        moved = moved - by_law
    return flow, moved / by_flow


RUBIDIUM = RenkinCrone(0.77, 0.63)
"""⁸²Rb (Lortie et al. 2007, Eur J Nucl Med Mol Imaging 34:1765)"""
AMMONIA = RenkinCrone(0.607, 1.25)
"""¹³N-ammonia, as tracer programs tabulate it; no primary source was read"""
