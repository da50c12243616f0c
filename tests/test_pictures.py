"""One picture: read right, or refused with its name."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headprune import PictureError, pictures
from headprune.pictures import read_picture

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _corners() -> Image.Image:
    """4 x 2: red on the left, blue on the right."""
    picture = Image.new("RGB", (4, 2), RED)
    picture.paste(BLUE, (2, 0, 4, 2))
    return picture


def _pixels(picture: Image.Image) -> list[list[tuple[int, int, int]]]:
    assert picture.mode == "RGB"
    return [[tuple(int(v) for v in pixel) for pixel in row] for row in np.asarray(picture)]  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_plain_pictures_come_back_as_they_are(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "picture"
    file.write_bytes(_encoded(_corners(), kind))
    assert _pixels(read_picture(file, "picture")) == [[RED, RED, BLUE, BLUE]] * 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "size", "top_left"), [(6, (20, 40), RED), (3, (40, 20), BLUE), (8, (20, 40), BLUE)]
)
def test_a_turned_picture_is_set_upright(
    kind: str, orientation: int, size: tuple[int, int], top_left: tuple[int, int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = _encoded(_corners().resize((40, 20), Image.Resampling.NEAREST), kind, exif=exif)
    upright = read_picture(content, "turned")
    assert upright.size == size
    assert np.allclose(np.asarray(upright)[1, 1], top_left, atol=12)


def test_cmyk_becomes_its_colour() -> None:
    content = _encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.allclose(np.asarray(read_picture(content, "cmyk")), RED, atol=4)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_and_not_clipped(kind: str) -> None:
    values = np.array([[0, 255, 257, 32768, 65535]], dtype=np.uint16)
    grey = read_picture(_encoded(Image.fromarray(values), kind), "grey")
    assert [pixel[0] for pixel in _pixels(grey)[0]] == [0, 1, 1, 128, 255]


def test_16_bit_grey_of_a_pgm_is_scaled() -> None:
    grey = read_picture(b"P5 3 1 65535\n" + struct.pack(">3H", 0, 32768, 65535), "grey")
    assert [pixel[0] for pixel in _pixels(grey)[0]] == [0, 128, 255]


def _tiff(bits: int, photometric: int, data: bytes, width: int) -> bytes:
    """A little-endian grey TIFF of one row."""
    tags = [(256, 3, width), (257, 3, 1), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 3, 1), (279, 4, len(data))]
    directory = b"".join(struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value) for tag, kind, value in tags)
    data += b"\0" * (len(data) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + directory + b"\0" * 4


def test_a_tiff_whose_zero_is_white_is_inverted() -> None:
    data = struct.pack("<3H", 0, 32768, 65535)
    assert [p[0] for p in _pixels(read_picture(_tiff(16, 0, data, 3), "white is zero"))[0]] == [255, 127, 0]
    assert [p[0] for p in _pixels(read_picture(_tiff(16, 1, data, 3), "black is zero"))[0]] == [0, 128, 255]


def test_a_12_bit_tiff_uses_its_own_range() -> None:
    grey = read_picture(_tiff(12, 1, bytes([0xFF, 0xF0, 0x00]), 2), "12 bit")  # 4095, 0
    assert [pixel[0] for pixel in _pixels(grey)[0]] == [255, 0]


def test_16_bit_grey_with_a_transparent_value_is_laid_on_white() -> None:
    values = np.array([[0, 4000, 65535]], dtype=np.uint16)
    content = _encoded(Image.fromarray(values), "PNG", transparency=4000)
    assert [pixel[0] for pixel in _pixels(read_picture(content, "grey"))[0]] == [0, 255, 255]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_of_no_known_range_are_refused(mode: str) -> None:
    with pytest.raises(PictureError, match=rf"depth\.tif has values of no known range \(mode {mode}\)"):
        read_picture(_encoded(Image.new(mode, (2, 2)), "TIFF"), "depth.tif")


def test_a_palette_becomes_its_colours() -> None:
    content = _encoded(_corners().convert("P", palette=Image.Palette.ADAPTIVE), "PNG")
    assert _pixels(read_picture(content, "palette"))[0] == [RED, RED, BLUE, BLUE]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_palette_with_a_transparent_entry_is_laid_on_white(kind: str) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, *BLUE])
    picture.putdata([0, 1])
    content = _encoded(picture, kind, transparency=1)
    assert _pixels(read_picture(content, "palette")) == [[RED, WHITE]]


def test_transparency_is_laid_on_white() -> None:
    half = _encoded(Image.new("RGBA", (1, 1), (*RED, 128)), "PNG")
    assert np.allclose(np.asarray(read_picture(half, "half"))[0, 0], (255, 127, 127), atol=1)
    clear = _encoded(Image.new("LA", (1, 1), (0, 0)), "PNG")
    assert _pixels(read_picture(clear, "clear")) == [[WHITE]]
    keyed = _encoded(_corners(), "PNG", transparency=BLUE)
    assert _pixels(read_picture(keyed, "keyed"))[0] == [RED, RED, WHITE, WHITE]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    content = _encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert np.allclose(np.asarray(read_picture(content, "animated")), RED, atol=3)


def test_one_bit_becomes_black_and_white() -> None:
    picture = Image.new("1", (2, 1))
    picture.putpixel((1, 0), 1)
    assert _pixels(read_picture(_encoded(picture, "PNG"), "bit")) == [[(0, 0, 0), WHITE]]


def test_a_missing_or_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"gone\.png cannot be read: No such file"):
        read_picture(tmp_path / "gone.png", "gone.png")
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(PictureError, match=r"empty\.png is empty \(0 bytes\)"):
        read_picture(tmp_path / "empty.png", "empty.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_a_truncated_picture_is_refused(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    content = _encoded(noise, kind)
    assert read_picture(content, "whole").size == (64, 64)
    with pytest.raises(PictureError, match="half is"):
        read_picture(content[: len(content) // 2], "half")


def test_a_file_that_is_no_picture_is_refused() -> None:
    with pytest.raises(PictureError, match=r"notes\.png is no picture of a supported format") as caught:
        read_picture(b"not a picture at all", "notes.png")
    assert "JPEG" in caught.value.hint


def test_postscript_is_not_handed_to_ghostscript() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    with Image.open(BytesIO(eps)) as known:
        assert known.format == "EPS"  # Pillow itself would take it
    with pytest.raises(PictureError, match="no picture of a supported format"):
        read_picture(eps, "drawing.jpg")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _bomb(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(10_000, 9_000), (100_000, 100_000)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(size: tuple[int, int]) -> None:
    with pytest.raises(PictureError, match=f"bomb.png is larger than {pictures.MAX_PIXELS} pixels"):
        read_picture(_bomb(*size), "bomb.png")


ZEROS = zlib.compress(bytes(2**28), 9)  # 256 MiB in 256 KB


def _in_png(kind: bytes, data: bytes) -> bytes:
    """A good PNG with one more chunk before its pixels."""
    content = _encoded(_corners(), "PNG")
    at = content.index(b"IDAT") - 4
    return content[:at] + _chunk(kind, data) + content[at:]


@pytest.mark.parametrize(
    "content",
    [
        _in_png(b"zTXt", b"Comment\0\0" + ZEROS),
        _in_png(b"iTXt", b"Comment\0\1\0\0\0" + ZEROS),
        _in_png(b"iCCP", b"profile\0\0" + ZEROS),
    ],
    ids=["zTXt", "iTXt", "iCCP"],
)
def test_a_bomb_in_what_is_no_pixel_is_never_unpacked(content: bytes) -> None:
    tracemalloc.start()
    try:
        with suppress(PictureError):
            assert _pixels(read_picture(content, "bomb.png")) == [[RED, RED, BLUE, BLUE]] * 2
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_of_many_frames_one_is_unpacked() -> None:
    frames = [Image.new("P", (500, 500), number % 2) for number in range(1500)]
    content = _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    tracemalloc.start()
    try:
        assert read_picture(content, "many.gif").size == (500, 500)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def _looping(first: int) -> bytes:
    """A TIFF whose directory names the one at `first` as the next, and as a directory within it."""
    tags = [(256, 3, 1), (257, 3, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, 1)]
    tags += [(279, 4, 1), (330, 4, first), (34665, 4, first), (34853, 4, first)]
    directory = b"".join(struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value) for tag, kind, value in tags)
    return (
        b"II*\0"
        + struct.pack("<I", 10)
        + b"\x80\0"
        + struct.pack("<H", len(tags))
        + directory
        + struct.pack("<I", first)
    )


@pytest.mark.parametrize("first", [10, 0, 2**31])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow doubts the tags
def test_directories_that_lead_into_one_another_are_not_followed(first: int) -> None:
    assert _pixels(read_picture(_looping(first), "loop.tif")) == [[(128, 128, 128)]]


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(b"")
    os.truncate(tmp_path / "large.png", 2**40)  # a hole: more than there is memory
    with pytest.raises(PictureError, match=f"large.png cannot be read: it is larger than {pictures.MAX_BYTES:,} bytes"):
        read_picture(tmp_path / "large.png", "large.png")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(PictureError, match=r"pipe\.png cannot be read: it is no file"):
        read_picture(tmp_path / "pipe.png", "pipe.png")
