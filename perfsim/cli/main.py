"""The command line. Nothing heavy is imported until a command runs, so that --help is quick."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Blood flow from the coronary arteries into the heart muscle. Research software, not a medical device.",
)
Out = Annotated[
    Path, typer.Option("--out", help="Folder for the results (created; files of an earlier run are replaced).")
]


@app.command()
def demo(
    out: Out = Path("perfsim-demo"),
    terminals: Annotated[int, typer.Option(help="Grown terminals.")] = 2000,
    spacing: Annotated[str, typer.Option(help="Mesh spacing, with unit.")] = "1.5 mm",
) -> None:
    """Run the main job on the embedded heart with a 60 % LAD stenosis."""
    from perfsim.cli.run import run_case
    from perfsim.io import DEMO, parse_case

    text = f'{DEMO}\n[tree]\nterminals = {terminals}\n\n[mesh]\nspacing = "{spacing}"\n'
    run_case(parse_case(text, "demo"), out)


@app.command()
def run(case: Annotated[Path, typer.Argument(help="Case file (TOML).")], out: Out = Path("perfsim-out")) -> None:
    """Run a case: rest and hyperemia, maps, FFR, pictures."""
    from perfsim.cli.run import run_case
    from perfsim.io import read_case

    run_case(read_case(case), out)


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Folder to create the case in.")]) -> None:
    """Write a commented case file to start from."""
    from perfsim._results import InputError
    from perfsim.io import DEMO, parse_case, resolved

    path = folder / "case.toml"
    if path.exists():
        raise InputError(f"{path} exists already: choose another folder or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(resolved(parse_case(DEMO, "demo")), encoding="utf-8")
    typer.echo(f"wrote {path}; run it with: perfsim run {path} --out {folder / 'out'}")


@app.command()
def fit(
    case: Annotated[Path, typer.Argument(help="Case file (TOML); [fit] names the free parameters.")],
    stress: Annotated[Path, typer.Option(help="Hyperemic MBF: CSV with segment, mbf_mL_min_g and, if known, sd.")],
    rest: Annotated[Path | None, typer.Option(help="Resting MBF, same columns.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the fitted case and its results.")] = None,
) -> None:
    """Fit named parameters of a case to MBF of the 17 AHA segments."""
    from perfsim.cli.fit import fit_case
    from perfsim.io import read_case

    fit_case(read_case(case), stress, rest, out)


def main() -> None:
    """Entry point: one clear line for wrong input, exit code 2; 1 for a simulation that failed."""
    from perfsim._results import InputError, SimulationError

    try:
        app()
    except InputError as error:
        print(f"perfsim: {error}", file=sys.stderr)
        sys.exit(2)
    except SimulationError as error:
        print(f"perfsim: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"perfsim: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        sys.exit(2)
