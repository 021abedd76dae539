"""Sheets of face images with names beside the rows, above the columns and under the pictures."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER, INK = (255, 255, 255), (34, 34, 34)
SMALLEST_TEXT, LARGEST_TEXT = 11, 20  # pixels


@dataclass(frozen=True)
class Layout:
    """Sizes in pixels that hold for the whole sheet."""

    cell_width: int
    cell_height: int
    gap: int
    line: int
    row_name_width: int
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(
    rows: list[list[np.ndarray]],
    row_names: list[str],
    column_names: list[str],
    scale: int,
    captions: list[list[str]] | None = None,
) -> Image.Image:
    """Pictures (H, W, 1 or 3) uint8 in a grid on white, each side `scale` times as long.

    Rows may differ in length and pictures in size: smaller ones stand in the middle of their cell. A list of names
    has one for each row or column, or is empty where none are wanted; captions have the shape of rows and are
    broken at spaces to fit under their picture.
    """
    pictures = [[enlarged(pixels, scale) for pixels in row] for row in rows]
    layout = layout_for(pictures, row_names)
    texts = [[wrapped(text, layout) for text in row] for row in captions or [[""] * len(row) for row in rows]]
    heading = max((len(wrapped(name, layout)) for name in column_names), default=0) * layout.line
    caption_heights = [max((len(text) for text in row), default=0) * layout.line for row in texts]
    columns = max(len(row) for row in rows)
    left = layout.gap + (layout.row_name_width + layout.gap if row_names else 0)
    top = layout.gap + (heading + layout.gap // 2 if column_names else 0)
    width = left + columns * (layout.cell_width + layout.gap)
    height = top + sum(caption_heights) + len(rows) * (layout.cell_height + layout.gap)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(column_names):
        middle = left + column * (layout.cell_width + layout.gap) + layout.cell_width / 2
        write(pen, wrapped(name, layout), middle, layout.gap, layout)
    for number, (row, row_texts) in enumerate(zip(pictures, texts, strict=True)):
        if row_names:
            pen.text((layout.gap, top + layout.cell_height / 2), row_names[number], INK, layout.font, "lm")
        for column, (picture, text) in enumerate(zip(row, row_texts, strict=True)):
            x = left + column * (layout.cell_width + layout.gap)
            indent_x, indent_y = (layout.cell_width - picture.width) // 2, (layout.cell_height - picture.height) // 2
            sheet.paste(picture, (x + indent_x, top + indent_y))
            write(pen, text, x + layout.cell_width / 2, top + layout.cell_height + layout.gap // 4, layout)
        top += layout.cell_height + caption_heights[number] + layout.gap
    return sheet


def png(image: Image.Image) -> bytes:
    """PNG bytes, as few as Pillow can make of them; the same picture gives the same bytes."""
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def enlarged(pixels: np.ndarray, scale: int) -> Image.Image:
    """An RGB picture of grey or colour pixels, smoothly enlarged."""
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)


def layout_for(pictures: list[list[Image.Image]], row_names: list[str]) -> Layout:
    """Cells as large as the largest picture; text and gaps in proportion to them, but always readable."""
    width = max(picture.width for row in pictures for picture in row)
    height = max(picture.height for row in pictures for picture in row)
    size = min(max(width // 8, SMALLEST_TEXT), LARGEST_TEXT)
    font = ImageFont.load_default(size=size)
    longest = max((font.getlength(name) for name in row_names), default=0)
    return Layout(width, height, max(width // 16, 8), size * 5 // 4, int(longest + 1), font)


def wrapped(text: str, layout: Layout) -> list[str]:
    """Lines no wider than a cell, where the words allow it; the text's own line breaks stay."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".lstrip()
            if line and layout.font.getlength(longer) > layout.cell_width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


def write(pen: ImageDraw.ImageDraw, lines: list[str], middle: float, top: float, layout: Layout) -> None:
    """Centred lines of text, downwards from the top."""
    for number, line in enumerate(lines):
        pen.text((middle, top + number * layout.line), line, INK, layout.font, "ma")
