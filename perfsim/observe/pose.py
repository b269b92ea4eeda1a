"""How the wall that was segmented lies in the image that was measured."""

from perfsim.anatomy import Frame

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class LongAxis(eqx.Module):
    """An anatomical frame on the device: see `anatomy.Frame`."""

    base: Float[Array, "3"]
    """center of the base [m]"""
    directions: Float[Array, "3 3"]
    """unit vectors to lateral (0°), to anterior (90°), from base to apex"""
    length: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    """base to epicardial apex [m]"""
    cavity_length: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    """base to endocardial apex [m]"""
    inserts: Float[Array, "2"]
    """angles of the anterior and the inferior insertion of the right ventricle [rad]"""

    @classmethod
    def of(cls, frame: Frame) -> "LongAxis":
        directions = jnp.stack([jnp.asarray(x) for x in (frame.lateral, frame.anterior, frame.axis)])
        inserts = jnp.radians(jnp.array([frame.anterior_insert, frame.inferior_insert]))
        return cls(jnp.asarray(frame.base), directions, frame.length, frame.cavity_length, inserts)

    @property
    def middle(self) -> Float[Array, "3"]:
        """Halfway down the cavity: what a pose turns about."""
        return self.base + 0.5 * self.cavity_length * self.directions[2]

    def cylindrical(
        self, x: Float[Array, "points 3"]
    ) -> tuple[Float[Array, " points"], Float[Array, " points"], Float[Array, " points"]]:
        """(distance below the base [m], radius [m], angle [rad]), differentiable also on the axis."""
        a, b, z = ((x - self.base) @ self.directions.T).T
        on_axis = a**2 + b**2 < 1e-18
        a = jnp.where(on_axis, 1e-9, a)
        return z, jnp.sqrt(a**2 + b**2), jnp.arctan2(b, a)


class Pose(eqx.Module):
    """A rigid motion from the heart's frame into the image's: turned about the long axis, tilted, then shifted.

    With q the position relative to the middle of the cavity, in the directions (lateral, anterior, apex),
    q' = R(tilt) R(rotation) q + shift. A positive rotation moves tissue to larger angles.
    """

    rotation: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.0)
    """about the long axis [rad]"""
    tilt: Float[Array, "2"] = eqx.field(converter=jnp.asarray, default=(0.0, 0.0))
    """about the lateral and the anterior direction [rad]"""
    shift: Float[Array, "3"] = eqx.field(converter=jnp.asarray, default=(0.0, 0.0, 0.0))
    """along lateral, anterior, apex [m]"""

    def matrix(self) -> Float[Array, "3 3"]:
        """The rotation q → q' - shift."""
        c, s = jnp.cos(self.rotation), jnp.sin(self.rotation)
        one, none = jnp.ones_like(c), jnp.zeros_like(c)
        about_axis = jnp.stack([c, -s, none, s, c, none, none, none, one]).reshape(3, 3)
        (ca, cb), (sa, sb) = jnp.cos(self.tilt), jnp.sin(self.tilt)
        lateral = jnp.stack([one, none, none, none, ca, -sa, none, sa, ca]).reshape(3, 3)
        anterior = jnp.stack([cb, none, sb, none, one, none, -sb, none, cb]).reshape(3, 3)
        return anterior @ lateral @ about_axis

    def to_image(self, axis: LongAxis, x: Float[Array, "points 3"]) -> Float[Array, "points 3"]:
        """Where points of the heart are found in the image."""
        q = (x - axis.middle) @ axis.directions.T
        return axis.middle + (q @ self.matrix().T + self.shift) @ axis.directions

    def to_heart(self, axis: LongAxis, x: Float[Array, "points 3"]) -> Float[Array, "points 3"]:
        """Which points of the heart lie at these places of the image."""
        q = (x - axis.middle) @ axis.directions.T - self.shift
        return axis.middle + (q @ self.matrix()) @ axis.directions
