"""The commented case file that `perfsim init` writes, and resolved cases with every value spelled out."""

from perfsim.io.case import Case
from perfsim.units import MBF_UNIT, ML_MIN_G, MMHG

DEMO = """name = "demo"

[[stenosis]]
branch = "LAD"
position = "30 mm"
diameter_reduction = 0.6
length = "10 mm"
"""
"""the case of `perfsim demo`: the embedded heart with one intermediate lesion"""


def _files(case: Case) -> str:
    """The lines that name files, where a case has any."""
    named = {k: v for k, v in {"mesh": case.anatomy.mesh, **case.anatomy.files}.items() if v is not None}
    lines = [f'{k} = "{v.as_posix()}"' for k, v in named.items()] + [f'unit = "{case.anatomy.unit}"'] * bool(named)
    if case.anatomy.labels is not None:
        values = ", ".join(f"{k} = {n}" for k, n in case.anatomy.label_values.items())
        lines += [f'labels = "{case.anatomy.labels.as_posix()}"', f"label_values = {{ {values} }}"]
        lines += _orientation(case.anatomy.orientation)
    v = case.vessels
    if v.left is not None:
        lines += ["", "[vessels]", f'left = "{v.left.as_posix()}"', f"missing = {v.missing!r}".replace("'", '"')]
        lines += [f'unit = "{v.unit}"'] * (v.unit is not None) + ["place = false"] * (not v.place)
        lines += ["names = { " + ", ".join(f'"{a}" = "{b}"' for a, b in v.names.items()) + " }"] * bool(v.names)
    return "".join(f"{line}\n" for line in lines)


def resolved(case: Case) -> str:
    """The case as a commented TOML file that reproduces it, every default written out."""
    c = case
    lesions = "".join(
        f'\n[[stenosis]]\nbranch = "{s.branch}"\n'
        f'position = "{s.position * 1e3:.6g} mm"    # throat, from the branch\'s origin\n'
        f'diameter_reduction = {s.diameter_reduction:.6g}\nlength = "{s.length * 1e3:.6g} mm"\n'
        for s in c.stenosis
    )
    tone, shares = (", ".join(f"{k} = {v:.9g}" for k, v in values.items()) for values in (c.tissue.tone, c.tree.shares))
    return f'''# A perfsim case. Quantities carry units; every key is optional, shown with the value in force.
name = "{c.name}"

[anatomy]                      # the embedded heart, or surfaces: epicardium, endocardium, right_ventricle, guide_points
mass = "{c.anatomy.mass * 1e3:.6g} g"                 # left ventricle, embedded
dominance = "{c.anatomy.dominance}"            # right, left or co
{_files(c)}
[tree]                         # arterioles grown from the trunks
terminals = {c.tree.terminals}
seed = {c.tree.seed}
exponent = {c.tree.exponent:.9g}          # of the radius law r = r0 (Q/Q0)^(1/exponent)
shares = {{ {shares} }}                   # of the flow by inlet, e.g. {{ LM = 0.7, RCA = 0.3 }}; empty: trees compete
reference_diameter = "{c.tree.reference_diameter * 1e6:.6g} um"   # where vessels end and tissue begins

[mesh]
spacing = "{c.mesh.spacing * 1e3:.6g} mm"             # edge of a control volume
{lesions}
[rest]                         # autoregulated: demand is met while the reserve lasts
aortic_pressure = "{c.rest.aortic_pressure / MMHG:.6g} mmHg"
back_pressure_epi = "{c.rest.back_pressure_epi / MMHG:.6g} mmHg"
back_pressure_endo = "{c.rest.back_pressure_endo / MMHG:.6g} mmHg"
demand = "{c.rest.demand / ML_MIN_G:.6g} {MBF_UNIT}"

[hyperemia]                    # maximal dilation
aortic_pressure = "{c.hyperemia.aortic_pressure / MMHG:.6g} mmHg"
back_pressure_epi = "{c.hyperemia.back_pressure_epi / MMHG:.6g} mmHg"
back_pressure_endo = "{c.hyperemia.back_pressure_endo / MMHG:.6g} mmHg"

[tissue]
supply = "{c.tissue.supply:.6g} 1/(Pa·s)"      # 100 µm arterioles to capillaries, dilated
drainage = "{c.tissue.drainage:.6g} 1/(Pa·s)"    # capillaries to veins
mobility = "{c.tissue.mobility:.6g} m²/(Pa·s)"        # within the capillary bed
tone = {{ {tone} }}                      # factors on supply by territory, e.g. {{ LAD = 0.6 }}
{_tone_map(c)}
[blood]
plasma_viscosity = "{c.blood.plasma_viscosity * 1e3:.6g} mPa·s"
hematocrit = {c.blood.hematocrit:.6g}

[fit]                          # what `perfsim fit` may change: tone, tone_field, throat, supply, drainage, ...
parameters = [{", ".join(f'"{p}"' for p in c.fit.parameters)}]
sd = "{c.fit.sd / ML_MIN_G:.6g} {MBF_UNIT}"           # of a segment's MBF where the table has no sd column
fwhm = "{c.fit.fwhm * 1e3:.6g} mm"                  # of a NIfTI map: its resolution,
noise = {c.fit.noise:.6g}                   # standard deviation of a voxel over its MBF,
unit = "{c.fit.unit}"              # of maps and tables that name none; or mL/min/mL, mL/min/100g
per = "{c.fit.per}"                   # gram of perfusable tissue, or region (MBF times tissue fraction)
{_line(_orientation(c.fit.orientation))}
[learn]                        # what `perfsim learn train` teaches a network, on synthetic patients
task = "{c.learn.task}"                  # tone, direct, subgrid or pressure
patients = {c.learn.patients}
held_out = {c.learn.held_out}                   # patients never seen, to test on
{_volumes(c)}steps = {c.learn.steps}
batch = {c.learn.batch}                      # patients per step
rate = {c.learn.rate:.6g}
width = {c.learn.width}                     # of the network,
rounds = {c.learn.rounds}                     # of messages or layers
seed = {c.learn.seed}
'''


def _orientation(trusted: str | None) -> list[str]:
    return [] if trusted is None else [f'orientation = "{trusted}"     # which affine of the NIfTI counts']


def _volumes(case: Case) -> str:
    return "" if case.learn.volumes is None else f"volumes = {case.learn.volumes}                 # of a mesh\n"


def _tone_map(case: Case) -> str:
    path = case.tissue.tone_map
    if path is None:
        return ""
    trusted = _line(_orientation(case.tissue.orientation))
    return f'tone_map = "{path.as_posix()}"      # factors on supply by place, NIfTI\n{trusted}'


def _line(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
