"""The commands. Nothing heavy is imported until one runs, so that --help is quick."""

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

from perfsim import __version__
from perfsim._extras import MissingExtraError, needed
from perfsim._notes import InputNote
from perfsim.cli import interrupts

with needed("cli"):
    import typer

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Blood flow from the coronary arteries into the heart muscle. Research software, not a medical device.",
)
learning = typer.Typer(no_args_is_help=True, help="Networks inside the simulator: train one, evaluate it.")
app.add_typer(learning, name="learn")
Out = Annotated[Path, typer.Option("--out", help="Folder for the results; created if need be.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier run.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved case and what it would cost.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Print devices, growth, solver and memory too.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print warnings and errors only.")]


def _print_version(asked: bool) -> None:
    if asked:
        print(f"perfsim {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before a command."""


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the results [default: perfsim-demo].")] = None,
    terminals: Annotated[int, typer.Option(help="Grown terminals.")] = 2000,
    spacing: Annotated[str, typer.Option(help="Mesh spacing, with unit.")] = "1.5 mm",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run the main job on the embedded heart with a 60 % LAD stenosis."""
    from perfsim.cli.folder import free_folder
    from perfsim.cli.run import run_case
    from perfsim.io import DEMO, parse_case

    text = f'{DEMO}\n[tree]\nterminals = {terminals}\n\n[mesh]\nspacing = "{spacing}"\n'
    default = Path("perfsim-demo")
    folder = out or (default if overwrite else free_folder(default))
    run_case(parse_case(text, "demo"), folder, overwrite=overwrite, quiet=quiet, verbose=verbose)


@app.command()
def run(
    case: Annotated[Path, typer.Argument(help="Case file (TOML).")],
    out: Out = Path("perfsim-out"),
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run a case: rest and hyperemia, maps, FFR, pictures."""
    from perfsim.io import read_case

    checked = read_case(case)
    if dry_run:
        from perfsim.cli.dry_run import describe

        describe(checked)
        return
    from perfsim.cli.run import run_case

    run_case(checked, out, overwrite=overwrite, quiet=quiet, verbose=verbose)


@app.command()
def grow(
    case: Annotated[Path, typer.Argument(help="Case file (TOML).")],
    out: Out = Path("perfsim-tree"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Grow the tree of a case without solving it: geometry, statistics, morphometry."""
    from perfsim.cli.grow import grow_case
    from perfsim.io import read_case

    grow_case(read_case(case), out, overwrite, quiet)


@app.command()
def flow(
    case: Annotated[Path, typer.Argument(help="Network: .toml, openBF's .yaml, or svZeroD's .json.")],
    out: Out = Path("perfsim-flow"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Pulsatile flow in a network of arteries: the periodic state, waveforms."""
    from perfsim.cli.flow import flow_case
    from perfsim.io.flow_files import read_flow

    flow_case(read_flow(case), out, overwrite, quiet)


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Folder to create the case in.")]) -> None:
    """Write a commented case file to start from: a heart without a stenosis, and how to add one."""
    from perfsim._results import InputError
    from perfsim.io import START

    path = folder / "case.toml"
    if path.exists():
        raise InputError(f"{path} exists already: choose another folder or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(START, encoding="utf-8")
    print(f"wrote {path}; run it with: perfsim run {path} --out {folder / 'out'}")


@app.command()
def fit(
    case: Annotated[Path, typer.Argument(help="Case file (TOML); its [fit] may name the free parameters.")],
    stress: Annotated[Path, typer.Option(help="Hyperemic MBF: NIfTI map, or table of segments (CSV, .xlsx).")],
    rest: Annotated[Path | None, typer.Option(help="Resting MBF, likewise.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the fitted case and its results.")] = None,
    fix: Annotated[
        list[str] | None,
        typer.Option(help="Hold a parameter at the case's value, e.g. demand; the report says so. Repeat for several."),
    ] = None,
    draws: Annotated[
        int | None, typer.Option(min=40, help="Draws behind the intervals, instead of the case's.")
    ] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Fit a case to maps of MBF, in voxels or of the 17 AHA segments.

    Everything that can explain a map as well as something else is free, unless [fit] names less: tone by territory,
    each listed stenosis within its reading's error, resting demand, pressure, calibration scale, rotation.
    """
    from perfsim.io import read_case

    checked = read_case(case)
    checked.fit.fixed += fix or []
    checked.fit.draws = draws or checked.fit.draws
    if dry_run:
        from perfsim.cli.dry_run import describe

        describe(checked, stress, rest)
        return
    from perfsim.cli.fit import fit_case

    fit_case(checked, stress, rest, out, overwrite, quiet, verbose)


@learning.command("train")
def learn_train(
    case: Annotated[Path, typer.Argument(help="Case file (TOML); [learn] says what is learned from whom.")],
    out: Out = Path("perfsim-learn"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Train a network on synthetic patients. An interrupted training goes on where it was, to the same bits."""
    from perfsim.cli.learn import train_case
    from perfsim.io import read_case

    train_case(read_case(case), out, overwrite, quiet)


@learning.command("evaluate")
def learn_evaluate(
    case: Annotated[Path, typer.Argument(help="Case file (TOML); [learn] says on whom it is tested.")],
    model: Annotated[Path, typer.Argument(help="A model that `perfsim learn train` wrote.")],
) -> None:
    """Test a network on synthetic patients that it has never seen."""
    from perfsim.cli.learn import evaluate_case
    from perfsim.io import read_case

    evaluate_case(read_case(case), model)


@app.command()
def inspect(
    files: Annotated[list[Path], typer.Argument(help="Trees, surfaces, images, tables, cases, folders of DICOM.")],
) -> None:
    """Say what files are: kind, size, unit, and what is wrong with them."""
    from perfsim.cli.inspect import inspect_files

    inspect_files(files)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A tree: .swc, .in, .vtp")],
    target: Annotated[Path, typer.Argument(help=".swc or .vtp")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the target if it exists.")] = False,
) -> None:
    """Convert a coronary tree between file formats."""
    from perfsim.cli.inspect import convert_tree

    convert_tree(source, target, overwrite)


@app.command("export")
def export_command(
    source: Annotated[Path, typer.Argument(help="A tree (.swc, .in, .vtp, .ctgr, .pth) or a network (.toml, .yaml).")],
    target: Annotated[Path, typer.Argument(help=".json (svZeroD), .in (svOneD; of a tree), .yaml (openBF)")],
    flow: Annotated[str | None, typer.Option(help='Mean flow into a tree, e.g. "120 mL/min".')] = None,
    pressure: Annotated[str, typer.Option(help="Mean aortic pressure over a tree.")] = "93 mmHg",
    period: Annotated[float, typer.Option(help="Period of the heart over a tree [s].")] = 0.8,
    periodic: Annotated[
        bool, typer.Option("--periodic", help="Solve it; start the model from its periodic state.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the target if it exists.")] = False,
) -> None:
    """Write a tree or a network as a model for svZeroDSolver, svOneDSolver or openBF."""
    from perfsim.cli.export import export_model

    export_model(source, target, flow=flow, pressure=pressure, period=period, periodic=periodic, overwrite=overwrite)


@app.command()
def doctor() -> None:
    """Say which versions and devices a run would use, and whether they work."""
    from perfsim.cli.doctor import examine

    examine()


EXIT_CODES = {"usage": 2, "input": 3, "simulation": 4}


def main() -> None:
    """Run the command that the process was started with.

    Exit codes: 0 done, 2 usage, 3 wrong input, 4 a simulation that failed, 130 or 143 interrupted.
    """
    from perfsim._results import InputError, SimulationError
    from perfsim.cli.terminal import note, prepare_streams

    os.environ.setdefault("JAX_ENABLE_X64", "1")  # this process is ours, and jax reads it when a command imports jax
    prepare_streams()
    try:
        with interrupts.listening(), warnings.catch_warnings(), needed("cli"):
            warnings.simplefilter("always", InputNote)
            warnings.showwarning = note
            app()
    except (interrupts.Interrupted, KeyboardInterrupt) as error:
        _fail(f"interrupted; {error}" if str(error) else "interrupted", interrupts.exit_code())
    except MissingExtraError as error:
        _fail(str(error), EXIT_CODES["usage"])
    except InputError as error:
        _fail(str(error), EXIT_CODES["input"])
    except SimulationError as error:
        _fail(str(error), EXIT_CODES["simulation"])
    except OSError as error:
        _fail(f"{error.filename or ''}: {error.strerror or error}", EXIT_CODES["input"])
    except Exception as error:
        if interrupts.received():  # a library turned the interruption into an error of its own
            _fail("interrupted", interrupts.exit_code())
        if "nitialize backend" in str(error) or "Unknown backend" in str(error):
            asked = os.environ.get("JAX_PLATFORMS", "")
            _fail(
                f"JAX_PLATFORMS={asked}: jax finds no such device here: unset it to compute on the CPU",
                EXIT_CODES["input"],
            )
        raise


def _fail(message: str, code: int) -> None:
    if sys.stderr is not None:
        print(f"perfsim: {message}", file=sys.stderr)
    sys.exit(code)
