"""Text files in the encodings and packings that people have."""

import gzip

from perfsim._files import read_text
from perfsim._results import InputError

import pytest

TEXT = "Wand 5 µm, Gefäß\nhöchstens 37 °C\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_encodings(tmp_path, encoding, packed, ending):
    content = TEXT.replace("\n", ending).encode(encoding)
    path = tmp_path / "a.txt"
    path.write_bytes(gzip.compress(content) if packed else content)
    assert read_text(path) == TEXT


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04rest", "Excel"),
        (b"a\x00b", "zero bytes"),
        (b"\xff\xfea", "UTF-16"),
        (b"\x81\x8d", "save it as UTF-8"),
        (gzip.compress(b"a" * 99, mtime=0)[:-12], "cannot be read"),
        (gzip.compress(b"a" * (2 << 20), mtime=0), "more than 1 MB"),
    ],
)
def test_what_is_no_text(tmp_path, content, said):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        read_text(path, most=1 << 20)
    assert str(path) in str(error.value)


def test_absent_files_and_folders(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_text(tmp_path / "absent")
    with pytest.raises(InputError, match="folder"):
        read_text(tmp_path)
