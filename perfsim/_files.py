"""Text files as people have them: compressed or not, in UTF-8, UTF-16 or a Windows code page."""

import gzip
import zlib
from pathlib import Path

from perfsim._results import InputError

MOST = 256 << 20
"""largest file that is read as text, unpacked [bytes]"""
GZIP = b"\x1f\x8b"
BINARY = {b"PK\x03\x04": "a zip archive (an Excel workbook?)", b"\x89HDF": "an HDF5 file", b"%PDF": "a PDF"}


def read_bytes(path: Path, most: int = MOST) -> bytes:
    """Read a file, unpacked if it is a gzip file whatever its name.

    Arguments: `path`; `most`: largest size that is accepted, unpacked [bytes].

    Returns: its bytes.

    Raises: `InputError` if there is no such file, if it cannot be read or unpacked, or if it is larger than `most`.
    """
    if path.is_dir():
        raise InputError(f"{path}: this is a folder; name a file in it")
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            content = file.read(most + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: it cannot be read ({error})") from None
    if len(content) > most:
        raise InputError(f"{path}: more than {most >> 20} MB unpacked, which no text file of this kind needs")
    return content


def read_text(path: Path, most: int = MOST) -> str:
    """Read a text file in UTF-8, UTF-16 with its byte order mark, or Windows' code page 1252.

    Code page 1252 is what is left when a file is no UTF-8: letters beyond ASCII (ä, µ, °) are then read as Western
    European Windows programs write them.

    Arguments: `path`, also of a gzip file; `most`: largest size that is accepted, unpacked [bytes].

    Returns: the text without byte order mark, with line breaks as `\\n`.

    Raises: `InputError` if the file cannot be read, is too large, or is no text.
    """
    content = read_bytes(path, most)
    for start, kind in BINARY.items():
        if content.startswith(start):
            raise InputError(f"{path}: this is {kind}, no text file")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif b"\x00" in content:
        raise InputError(f"{path}: this is no text file: it holds zero bytes")
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError as error:
            place = error.start
    raise InputError(f"{path}: this is no text in UTF-8, UTF-16 or code page 1252 (byte {place}); save it as UTF-8")
