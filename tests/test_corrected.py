"""The corrected flux: order on hexahedra and tetrahedra, conservation, against finite elements, adjoint, bad meshes."""

import importlib.util
from pathlib import Path

import perfsim
from perfsim import darcy
from perfsim._results import InputError
from perfsim.coupling import assemble
from perfsim.darcy import FiniteVolumes, mesh_cells, tetrahedra_in_box
from perfsim.flow import Steady
from perfsim.growth import Box
from perfsim.io import volumes_from_mesh, write_tissue
from perfsim.network import VesselNetwork
from perfsim.units import ML_MIN

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pyvista as pv

KINDS = ("I", "tensor", "helix 4", "helix 20")


def exact(x):
    return 1.0 + jnp.sin(jnp.pi * x[0]) * jnp.sin(jnp.pi * (x[1] + 0.5)) * jnp.sin(jnp.pi * (x[2] + 1 / 3))


def permeability(kind):
    if kind == "I":
        return lambda x: jnp.eye(3)
    if kind == "tensor":
        return lambda x: jnp.array([[1.0, 0.4, 0.2], [0.4, 0.7, 0.1], [0.2, 0.1, 0.5]])
    ratio = float(kind.split()[1])

    def helix(x):
        angle = jnp.deg2rad(60.0 - 120.0 * x[2])
        f = jnp.array([jnp.cos(angle), jnp.sin(angle), 0.0])
        return jnp.eye(3) + (ratio - 1.0) * jnp.outer(f, f)

    return helix


def fields(kind):
    """K, -K∇p, and f of -∇·K∇p + p = f, each of points (n, 3)."""
    K = permeability(kind)

    def flux(x):
        return -K(x) @ jax.grad(exact)(x)

    def source(x):
        return jnp.trace(jax.jacfwd(flux)(x)) + exact(x)

    return (jax.jit(jax.vmap(g)) for g in (K, flux, source))


def hexahedra(n):
    corner = np.stack(np.meshgrid(*[np.arange(n + 1)] * 3, indexing="ij"), -1).reshape(-1, 3) / n
    number = np.arange((n + 1) ** 3).reshape((n + 1,) * 3)
    at = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)]
    return corner, np.stack([number[i : n + i, j : n + j, k : n + k].ravel() for i, j, k in at], 1)


def meshes(shape, n):
    return hexahedra(n) if shape == "hexahedra" else tetrahedra_in_box(1.0, n)


def errors(points, cells, kind):
    """Relative errors of pressure (volume-weighted) and of face fluxes (by area)."""
    volumes, samples = mesh_cells(points, cells)
    K, flux, source = fields(kind)
    cell, at = next(samples.points(len(cells)))
    load = np.bincount(cell, samples.weight(cell) * np.asarray(source(at)), len(cells))
    for at, share in on_faces(samples.boundary_corners):
        np.subtract.at(load, samples.boundary, share * np.einsum("fx,fx->f", samples.boundary_area, flux(at)))
    tensor = K(volumes.center)
    p, _ = darcy.solve(volumes, tensor, volumes.volume, jnp.asarray(load), rtol=1e-9)
    wanted, V = jax.vmap(exact)(volumes.center), volumes.volume
    found = face_fluxes(volumes, tensor, p)
    middle = jnp.stack([0.5 * (volumes.center + volumes.center[j]) for j in volumes.neighbor])
    middle = middle.reshape(-1, 3)
    A = jnp.moveaxis(volumes.faces.area, 0, -1)
    true = jnp.sum(A.reshape(-1, 3) * flux(middle), axis=1).reshape(found.shape)
    size = jnp.linalg.norm(A, axis=-1)
    weigh = jnp.where(size > 0, 1.0 / jnp.where(size > 0, size, 1.0), 0.0)
    return (
        float(jnp.sqrt(jnp.sum(V * (p - wanted) ** 2) / jnp.sum(V * wanted**2))),
        float(jnp.sqrt(jnp.sum(weigh * (found - true) ** 2) / jnp.sum(weigh * true**2))),
    )


def on_faces(corners):
    """Points and weights of a second-order rule on triangles or squares."""
    count = corners.shape[1]
    if count == 3:
        weights = (np.ones((3, 3)) + 3.0 * np.eye(3)) / 6.0
    else:
        a = 0.5 - 0.5 / np.sqrt(3)
        weights = np.array([np.roll([(1 - a) ** 2, a * (1 - a), a**2, a * (1 - a)], k) for k in range(4)])
    return [(np.einsum("c,fcx->fx", w, corners), 1.0 / count) for w in weights]


def face_fluxes(volumes, K, p):
    """Corrected flux out of each volume through each side."""
    T = darcy.transmissibility(volumes, K)
    c, g = darcy.correction(volumes, K, T).tangent, volumes.faces.gradient(p)
    out = []
    for s, j in enumerate(volumes.neighbor):
        share = volumes.faces.share[s]
        out.append(T[s] * (p - p[j]) - jnp.sum(c[:, s] * (share * g + (1 - share) * g[:, j]), axis=0))
    return jnp.stack(out)


def slow_but(*kept):
    """All kinds, of which those not named here are slow: the programs are the same, only the numbers differ."""
    return [kind if kind in kept else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]


@pytest.mark.parametrize("kind", slow_but("tensor", "helix 20"))
@pytest.mark.parametrize("shape", ["hexahedra", "tetrahedra"])
def test_order(shape, kind):
    """Pressure ≥ 1.9 on hexahedra (1.85 at ratio 20) and ≥ 1.6 on tetrahedra, fluxes ≥ 1.3 and ≥ 0.9."""
    sizes = (16, 32) if shape == "hexahedra" else (10, 20)
    coarse, fine = (errors(*meshes(shape, n), kind) for n in sizes)
    order = np.log2(np.divide(coarse, fine))
    pressure = {"hexahedra": 1.85 if kind == "helix 20" else 1.9, "tetrahedra": 1.6}[shape]
    assert order[0] >= pressure
    assert order[1] >= {"hexahedra": 1.3, "tetrahedra": 0.9}[shape]


@pytest.mark.parametrize("kind", slow_but("helix 20"))
def test_against_finite_elements(kind):
    """On the same tetrahedra at most 0.4 of the error of linear elements (I, helix 4) or 0.7 (tensor, helix 20)."""
    points, cells = tetrahedra_in_box(1.0, 20)  # of test_order
    ratio = errors(points, cells, kind)[0] / linear_elements(points, cells, kind)
    assert ratio <= (0.4 if kind in ("I", "helix 4") else 0.7)


def linear_elements(points, cells, kind):
    """Error of scikit-fem's P1 elements at the centers."""
    import skfem

    K, flux, source = fields(kind)
    mesh = skfem.MeshTet(points.T, cells.T)
    basis = skfem.Basis(mesh, skfem.ElementTetP1(), intorder=4)
    edge = skfem.FacetBasis(mesh, skfem.ElementTetP1(), intorder=4)

    def at(g, x):
        value = np.asarray(g(x.reshape(3, -1).T))
        return np.moveaxis(value, 0, -1).reshape(value.shape[1:] + x.shape[1:])

    stiffness = skfem.BilinearForm(
        lambda u, v, w: np.einsum("ij...,j...,i...->...", at(K, w.x), u.grad, v.grad) + u * v
    )
    inside = skfem.LinearForm(lambda v, w: at(source, w.x) * v)
    outside = skfem.LinearForm(lambda v, w: -np.einsum("i...,i...->...", at(flux, w.x), w.n) * v)
    u = skfem.solve(stiffness.assemble(basis), inside.assemble(basis) + outside.assemble(edge))
    corner = points[cells]
    V = np.abs(np.linalg.det(corner[:, 1:] - corner[:, :1]))
    wanted = np.asarray(jax.vmap(exact)(jnp.asarray(corner.mean(1))))
    return np.sqrt(np.sum(V * (u[cells].mean(1) - wanted) ** 2) / np.sum(V * wanted**2))


def test_conservation_and_linear_pressure():
    """What leaves one volume enters the next; a linear pressure's flux is exact; two scars exchange nothing."""
    volumes, _ = mesh_cells(*tetrahedra_in_box(1.0, 5))
    K = jax.vmap(permeability("helix 20"))(volumes.center)
    p = jnp.asarray(np.random.default_rng(1).standard_normal(len(volumes.volume)))
    F, j, n = np.asarray(face_fluxes(volumes, K, p)), np.asarray(volumes.neighbor), len(p)
    own = np.arange(n)
    back = {(b, a): F[s, a] for s in range(len(j)) for a, b in zip(own, j[s], strict=True) if a != b}
    assert (
        max(abs(F[s, a] + back[a, b]) for s in range(len(j)) for a, b in zip(own, j[s], strict=True) if a != b) < 1e-12
    )
    full, slope = permeability("tensor")(None), jnp.array([1.0, -2.0, 0.5])
    flux = face_fluxes(volumes, jnp.broadcast_to(full, (n, 3, 3)), volumes.center @ slope)
    through = -jnp.einsum("xsn,xy,y->sn", volumes.faces.area, full, slope)
    np.testing.assert_allclose(flux, through, atol=1e-12)
    scar = jnp.where((own % 2 == 0)[:, None, None], 0.0, K)
    assert float(jnp.abs(face_fluxes(volumes, scar, p)[:, ::2]).max()) == 0.0


def test_adjoint_of_the_corrected_solve():
    """Reverse mode against central differences in K (tensors) and the sinks, and against forward mode."""
    volumes, _ = mesh_cells(*tetrahedra_in_box(1.0, 6))
    n, rng = len(volumes.volume), np.random.default_rng(2)
    K = jax.vmap(permeability("helix 4"))(volumes.center)
    load = volumes.volume * jnp.asarray(rng.uniform(0.0, 1.0, n))
    weight = jnp.asarray(rng.uniform(0.0, 1.0, n))

    @jax.jit
    def f(K, sink):
        return weight @ darcy.solve(volumes, K, sink, load, rtol=1e-13)[0]

    d = rng.standard_normal((n, 3, 3))
    way = 0.05 * jnp.asarray(d + d.transpose(0, 2, 1)), volumes.volume * jnp.asarray(rng.standard_normal(n)) * 0.1
    gradient = jax.grad(f, (0, 1))(K, volumes.volume)
    along = float(sum(jnp.sum(a * b) for a, b in zip(gradient, way, strict=True)))
    forward = float(jax.jvp(f, (K, volumes.volume), way)[1])
    h = 1e-2
    step = [f(K + s * h * way[0], volumes.volume + s * h * way[1]) for s in (1, -1, 2, -2)]
    difference = float((8 * (step[0] - step[1]) - (step[2] - step[3])) / (12 * h))
    assert forward == pytest.approx(along, rel=1e-9)
    assert difference == pytest.approx(along, rel=1e-8)


def test_two_point_on_tetrahedra_is_an_m_matrix():
    volumes, _ = mesh_cells(*tetrahedra_in_box(1.0, 8))
    K = jax.vmap(permeability("helix 20"))(volumes.center)
    T = darcy.transmissibility(volumes, K)
    A = darcy.operator(volumes, T, volumes.volume).to_scipy()
    assert float(T.min()) >= 0.0 and abs(A - A.T).max() <= 1e-14


@pytest.mark.parametrize("screening", [0.003, 0.06, 0.28])
def test_iterations_on_tetrahedra(screening):
    """Up to 17 mm in 60: two-point ≤ 18, corrected ≤ 27 with fibers of ratio 4, to a relative residual of 1e-8."""
    volumes, _ = mesh_cells(*tetrahedra_in_box(1.0, 12))
    K = screening**2 * jax.vmap(permeability("helix 4"))(volumes.center)
    load = volumes.volume * jnp.asarray(np.random.default_rng(0).standard_normal(len(volumes.volume)))
    two_point = FiniteVolumes(corrected=False)
    plain = jnp.full(len(load), screening**2)
    assert int(darcy.solve(volumes, plain, volumes.volume, load, method=two_point, rtol=0.5e-8)[1].steps) <= 18
    assert int(darcy.solve(volumes, K, volumes.volume, load, rtol=0.5e-8)[1].steps) <= 27


@pytest.mark.parametrize("volume", [64.0, 1.0])
def test_measures_of_cells(volume):
    """Volumes and boundary areas close: Σ V is the cube, Σ A = 0, ⅓ Σ A·x = V."""
    size = volume ** (1 / 3)
    for points, cells in (tetrahedra_in_box(size, 4), (size * hexahedra(3)[0], hexahedra(3)[1])):
        volumes, samples = mesh_cells(points, cells)
        assert float(volumes.volume.sum()) == pytest.approx(volume, rel=1e-12)
        np.testing.assert_allclose(samples.boundary_area.sum(0), 0.0, atol=1e-12 * volume)
        around = np.einsum("fx,fx->", samples.boundary_area, samples.boundary_corners.mean(1)) / 3.0
        assert around == pytest.approx(volume, rel=1e-12)
        closed = np.asarray(volumes.faces.area.sum(1)).T.copy()
        np.add.at(closed, samples.boundary, samples.boundary_area)
        np.testing.assert_allclose(closed, 0.0, atol=1e-12 * volume)
        cell, at = next(samples.points(len(cells)))
        assert samples.weight(cell).sum() == pytest.approx(volume, rel=1e-12)
        assert at.min() > 0.0 and at.max() < size
        np.testing.assert_array_equal(cells[samples.cell], samples.cells()[1])


def broken(what):
    points, cells = tetrahedra_in_box(1.0, 3, jitter=0.0)
    cells = cells.copy()
    if what == "inverted":
        cells[7] = cells[7][[1, 0, 2, 3]]
    elif what == "flat":
        points = points.copy()
        points[cells[7, 0]] = points[cells[7, 1]]
    elif what == "loose":
        points, cells = np.concatenate([points, points + 5.0]), np.concatenate([cells, cells[:1] + len(points)])
    elif what == "three":
        cells = np.concatenate([cells, cells[:1], cells[:1]])
    elif what == "number":
        cells[3, 2] = 10_000
    else:
        cells = cells[:, :3]
    return points, cells


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("inverted", "cell 7 has the volume"), ("flat", "have none"), ("loose", "2 parts that share no faces"),
        ("three", "claim one face"), ("number", "cell 3 names points"), ("triangles", "give tetrahedra"),
    ],
)  # fmt: skip
def test_broken_meshes_are_refused(what, words):
    with pytest.raises(InputError, match=words):
        mesh_cells(*broken(what))


def test_tensor_needs_faces():
    volumes, _ = darcy.box([1.0] * 3, [4] * 3)
    K = jnp.broadcast_to(jnp.eye(3), (64, 3, 3))
    with pytest.raises(InputError, match="needs a mesh with faces"):
        darcy.solve(volumes, K, volumes.volume, volumes.volume)
    with pytest.raises(InputError, match="no faces to correct"):
        darcy.solve(volumes, K[:, 0, 0], volumes.volume, volumes.volume, method=FiniteVolumes(corrected=True))


@pytest.mark.slow
def test_heart_muscle_against_finite_elements():
    """Vessels, a stenosis and tissue, MBF of every cell: within 0.5 % of the mean on average and 2 % at most."""
    path = Path(__file__).parents[1] / "benchmarks" / "finite_elements.py"
    spec = importlib.util.spec_from_file_location("finite_elements", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    found = benchmark.compare(terminals=50, n=12, reduction=0.6, screening=3.4e-3)
    assert found["mean_percent"] <= 0.5 and found["max_percent"] <= 2.0


def write_mesh(path, points, cells, kind=None):
    kind = kind or (pv.CellType.TETRA if cells.shape[1] == 4 else pv.CellType.HEXAHEDRON)
    pv.UnstructuredGrid({kind: cells}, points).save(path)
    return path


def perfused_block():
    """Twenty terminals in a block of 40 mm."""
    x = np.linspace(-0.02, 0.0, 21)
    stem = VesselNetwork.build(
        np.stack([x, 0.0 * x + 0.02, 0.0 * x + 0.02], 1), np.arange(20), np.arange(1, 21), np.full(20, 1.8e-3),
        inlets=[0], branch_names=("stem",),
    )  # fmt: skip
    return perfsim.grow(Box(np.zeros(3), np.full(3, 0.04)), stem, 20)[0]


@pytest.mark.slow
def test_passes_with_corrected_fluxes():
    """Of an operator that is not symmetric: a digit a pass at least, and the transposed map is the transposed one."""
    points, cells = tetrahedra_in_box(0.04, 6)
    volumes, samples = mesh_cells(points, cells)
    sim, exact = assemble(perfused_block(), volumes, samples), FiniteVolumes(single=False)
    solution = perfsim.check(perfsim.simulate(sim, tissue=exact))
    rng = np.random.default_rng(0)
    v, w = jnp.asarray(rng.normal(size=(2, len(volumes.volume))))

    @eqx.filter_jit
    def products(passes):
        def mbf(x):
            there = eqx.tree_at(lambda s: s.tissue.supply, sim, sim.tissue.supply * jnp.exp(x))
            flow = Steady(given=True, passes=passes)
            return perfsim.simulate(there, flow, exact, ("rest",), near=solution).rest.mbf

        _, tangent = jax.linearize(mbf, jnp.zeros_like(v))
        return tangent(v), jax.linear_transpose(tangent, v)(w)[0]

    whole, errors = products(None)[0], []
    for passes in (1, 2, 3):
        forward, backward = products(jnp.asarray(passes))
        assert abs(w @ forward - backward @ v) <= 1e-12 * np.linalg.norm(w) * np.linalg.norm(forward)
        errors.append(float(np.linalg.norm(forward - whole) / np.linalg.norm(whole)))
    assert errors[0] <= 0.1 and errors[1] <= 0.3 * errors[0] and errors[2] <= 0.3 * errors[1]


def test_volumes_from_a_vtu(tmp_path):
    """Tetrahedra and hexahedra as they are, in the file's unit; a heart's flow on them, written back for ParaView."""
    for points, cells in (tetrahedra_in_box(40.0, 6), (40.0 * hexahedra(6)[0], hexahedra(6)[1])):
        volumes, samples = volumes_from_mesh(write_mesh(tmp_path / "block.vtu", points, cells), depth=lambda x: x[:, 0])
        assert float(volumes.volume.sum()) == pytest.approx(64e-6, rel=1e-6)
        np.testing.assert_allclose(volumes.depth, volumes.center[:, 0])
    sim = assemble(perfused_block(), volumes, samples)
    solution = perfsim.check(perfsim.simulate(sim))
    write_tissue(tmp_path / "tissue.vtu", sim, solution, samples, {})
    back = pv.read(tmp_path / "tissue.vtu")
    assert back.n_cells == len(volumes.volume)
    np.testing.assert_allclose(back.compute_cell_sizes()["Volume"], back["volume_mm3"], rtol=1e-5)
    supplied = float(np.sum(back["mbf_rest"] * back["volume_mm3"])) * 1.05e-3
    assert supplied == pytest.approx(float(solution.rest.inlet_flow.sum()) / ML_MIN, rel=1e-6)


def test_meshes_of_other_cells_are_refused(tmp_path):
    points, cells = hexahedra(2)
    path = write_mesh(tmp_path / "wedges.vtu", points, cells[:, [0, 1, 2, 4, 5, 6]], pv.CellType.WEDGE)
    with pytest.raises(InputError, match=r"wedges\.vtu: has 8 WEDGE"):
        volumes_from_mesh(path)
    points, cells = tetrahedra_in_box(1.0, 2)
    cells = np.concatenate([cells, cells[:1] + len(points)])
    path = write_mesh(tmp_path / "loose.vtu", np.concatenate([points, points + 9.0]), cells)
    with pytest.raises(InputError, match=r"loose\.vtu: .*2 parts"):
        volumes_from_mesh(path)
