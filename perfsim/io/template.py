"""The commented case file that `perfsim init` writes, and resolved cases with every value spelled out."""

from pathlib import Path

from perfsim._extras import needed
from perfsim.io.case import Case, Lesion, Treatment
from perfsim.units import MBF_UNIT, parse

with needed("io"):
    import tomlkit

DEMO = """name = "demo"

[[stenosis]]
branch = "LAD"
position = "30 mm"
diameter_reduction = 0.6
length = "10 mm"
"""
"""the case of `perfsim demo`: the embedded heart with one intermediate lesion"""


_SI = {"pressure": "Pa", "length": "m", "mass": "kg", "perfusion": "m3/s/kg", "viscosity": "Pa·s"}


def _text(value: str | Path) -> str:
    """A string of TOML: quotes, backslashes and line breaks are escaped. Folders are separated by slashes."""
    return tomlkit.item(value.as_posix() if isinstance(value, Path) else value).as_string()


def _quantity(value: float, unit: str, kind: str) -> str:
    """A quantity with its unit, in as few digits as read back to the same number; in SI where none do."""
    scale = parse(f"1 {unit}", kind)
    texts = (f"{value / scale:.{digits}g} {unit}" for digits in range(6, 18))
    return _text(next((t for t in texts if parse(t, kind) == value), f"{value!r} {_SI.get(kind, unit)}"))


def _parameters(case: Case) -> str:
    """What a fit may change; a comment where it is what the case's parts say."""
    named = case.fit.parameters
    names = ", ".join(map(_text, case.free if named is None else named))
    line = f"parameters = [{names}]" if named is not None else f"# parameters = [{names}]   # so by default"
    held = case.fit.fixed
    return line + (f"\nfixed = [{', '.join(map(_text, held))}]" if held else "")


def _reading(lesion: Lesion) -> str:
    """The diameter reduction, with the standard deviation of its reading where one is known."""
    value, error = lesion.diameter_reduction, lesion.reading_error
    return f"{value}" if error is None else f"{value}\nreading_error = {error}"


def _mm(value: float) -> str:
    return _quantity(value, "mm", "length")


def _table(values: dict) -> str:
    """An inline table of TOML, whatever its keys are."""
    pairs = [f"{tomlkit.key(k).as_string()} = {_text(v) if isinstance(v, str) else v}" for k, v in values.items()]
    return f"{{ {', '.join(pairs)} }}" if pairs else "{}"


def _files(case: Case) -> str:
    """The lines that name files, where a case has any."""
    named = {k: v for k, v in {"mesh": case.anatomy.mesh, **case.anatomy.files}.items() if v is not None}
    lines = [f"{k} = {_text(v)}" for k, v in named.items()] + [f'unit = "{case.anatomy.unit}"'] * bool(named)
    if case.anatomy.labels is not None:
        lines += [f"labels = {_text(case.anatomy.labels)}", f"label_values = {_table(case.anatomy.label_values)}"]
        lines += _orientation(case.anatomy.orientation)
    v = case.vessels
    if v.left is not None:
        lines += ["", "[vessels]", f"left = {_text(v.left)}", f"missing = [{', '.join(map(_text, v.missing))}]"]
        lines += [f'unit = "{v.unit}"'] * (v.unit is not None) + ["place = false"] * (not v.place)
        lines += [f"names = {_table(v.names)}"] * bool(v.names)
    return "".join(f"{line}\n" for line in lines)


def _treatment(t: Treatment) -> str:
    lengths = {k: getattr(t, k) for k in ("start", "end", "position", "diameter", "length")}
    lines = [f'kind = "{t.kind}"', f"branch = {_text(t.branch)}"]
    lines += [f"{k} = {_mm(x)}" for k, x in lengths.items() if x is not None]
    lines += [] if t.residual is None else [f"residual = {t.residual!r}"]
    return "\n[[treatment]]\n" + "".join(f"{line}\n" for line in lines)


def resolved(case: Case) -> str:
    """The case as a commented TOML file that reproduces it, every default written out."""
    c = case
    lesions = "".join(
        f"\n[[stenosis]]\nbranch = {_text(s.branch)}\n"
        f"position = {_mm(s.position)}    # throat, from the branch's origin\n"
        f"diameter_reduction = {_reading(s)}\nlength = {_mm(s.length)}\n"
        for s in c.stenosis
    )
    treatments = "".join(map(_treatment, c.treatment))
    return f'''# A perfsim case. Quantities carry units; every key is optional, shown with the value in force.
name = {_text(c.name)}

[anatomy]                      # the embedded heart, or surfaces: epicardium, endocardium, right_ventricle, guide_points
mass = {_quantity(c.anatomy.mass, "g", "mass")}                 # left ventricle, embedded
dominance = "{c.anatomy.dominance}"            # right, left or co
{_files(c)}
[tree]                         # arterioles grown from the trunks
terminals = {c.tree.terminals}
seed = {c.tree.seed}
exponent = {c.tree.exponent}          # of the radius law r = r0 (Q/Q0)^(1/exponent)
shares = {_table(c.tree.shares)}                   # of the inlets' flow, e.g. {{ LM = 0.7, RCA = 0.3 }}; else free
reference_diameter = {_mm(c.tree.reference_diameter)}   # where vessels end and tissue begins

[mesh]
spacing = {_mm(c.mesh.spacing)}             # edge of a control volume
{lesions}{treatments}
[rest]                         # autoregulated: demand is met while the reserve lasts
aortic_pressure = {_quantity(c.rest.aortic_pressure, "mmHg", "pressure")}
back_pressure_epi = {_quantity(c.rest.back_pressure_epi, "mmHg", "pressure")}
back_pressure_endo = {_quantity(c.rest.back_pressure_endo, "mmHg", "pressure")}
demand = {_quantity(c.rest.demand, MBF_UNIT, "perfusion")}

[hyperemia]                    # maximal dilation
aortic_pressure = {_quantity(c.hyperemia.aortic_pressure, "mmHg", "pressure")}
back_pressure_epi = {_quantity(c.hyperemia.back_pressure_epi, "mmHg", "pressure")}
back_pressure_endo = {_quantity(c.hyperemia.back_pressure_endo, "mmHg", "pressure")}

[tissue]
supply = {_quantity(c.tissue.supply, "1/(Pa·s)", "conductance")}      # 100 µm arterioles to capillaries, dilated
drainage = {_quantity(c.tissue.drainage, "1/(Pa·s)", "conductance")}    # capillaries to veins
mobility = {_quantity(c.tissue.mobility, "m²/(Pa·s)", "permeability")}        # within the capillary bed
tone = {_table(c.tissue.tone)}                      # factors on supply by territory, e.g. {{ LAD = 0.6 }}
{_tone_map(c)}
[blood]
plasma_viscosity = {_quantity(c.blood.plasma_viscosity, "mPa·s", "viscosity")}
hematocrit = {c.blood.hematocrit}

[fit]                          # what `perfsim fit` may change: tone, tone_field, throat, supply, drainage, ...
{_parameters(c)}
sd = {_quantity(c.fit.sd, MBF_UNIT, "perfusion")}           # of a segment's MBF where the table has no sd column
fwhm = {_mm(c.fit.fwhm)}                  # of a NIfTI map: its resolution,
noise = {c.fit.noise}                   # standard deviation of a voxel over its MBF,
unit = "{c.fit.unit}"              # of maps and tables that name none; or mL/min/mL, mL/min/100g
per = "{c.fit.per}"                   # gram of perfusable tissue, or region (MBF times tissue fraction)
draws = {c.fit.draws}                    # from the posterior, each through the whole model
{_line(_orientation(c.fit.orientation))}
[learn]                        # what `perfsim learn train` teaches a network, on synthetic patients
task = "{c.learn.task}"                  # tone, direct, subgrid or pressure
patients = {c.learn.patients}
held_out = {c.learn.held_out}                   # patients never seen, to test on
{_volumes(c)}steps = {c.learn.steps}
batch = {c.learn.batch}                      # patients per step
rate = {c.learn.rate}
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
    return f"tone_map = {_text(path)}      # factors on supply by place, NIfTI\n{trusted}"


def _line(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


_ADD_LESIONS = """
# Epicardial disease is in the model only where the case lists it, for instance a stenosis read from CT angiography:
#
# [[stenosis]]
# branch = "LAD"
# position = "30 mm"             # of the throat, from the branch's origin
# diameter_reduction = "60 % ± 10 %"   # as read, with the reading's standard deviation
# length = "10 mm"
#
# and what is done about it, which is computed before and after (stent, dilation, graft):
#
# [[treatment]]
# kind = "stent"
# branch = "LAD"
# start = "20 mm"
# end = "40 mm"
"""
START = resolved(Case(name="case")) + _ADD_LESIONS
"""the case file of `perfsim init`: a heart without a stenosis"""
