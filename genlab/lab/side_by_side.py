"""The same part of a picture, upscaled in several ways, side by side with labels."""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from genlab.evaluation.tiles import Box

_PANEL = 640
"""The longest side of a panel, in pixels of the upscaled picture."""
_GAP, _LINE = 6, 18
_PAPER, _INK = (255, 255, 255), (0, 0, 0)


def part_to_show(picture: Image.Image, scale: int) -> Box:
    """Return the whole small picture, or, if it is too large for a panel, the part with the most detail."""
    side = _PANEL // scale
    width, height = min(side, picture.width), min(side, picture.height)
    if (width, height) == picture.size:
        return Box(0, 0, width, height)
    grey = picture.convert("L")
    detail = ImageChops.difference(grey, grey.filter(ImageFilter.GaussianBlur(2)))
    # Searched in cells of a quarter of the part: a search over single pixels would take too long.
    cell = max(1, side // 4)
    columns, rows = max(1, picture.width // cell), max(1, picture.height // cell)
    means = np.asarray(detail.resize((columns, rows), Image.Resampling.BOX), dtype=np.float64)
    window = min(rows, max(1, height // cell)), min(columns, max(1, width // cell))
    sums = np.lib.stride_tricks.sliding_window_view(means, window).sum((2, 3))
    top, left = (int(index) * cell for index in np.unravel_index(sums.argmax(), sums.shape))
    left, top = min(left, picture.width - width), min(top, picture.height - height)
    return Box(left, top, left + width, top + height)


def side_by_side(panels: dict[str, Image.Image]) -> Image.Image:
    """Draw one row of panels, each below its label."""
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    widths = [max(panel.width, int(pen.textlength(label)) + 1) for label, panel in panels.items()]
    height = max(panel.height for panel in panels.values())
    size = (sum(widths) + _GAP * (len(widths) + 1), height + _LINE + _GAP)
    sheet = Image.new("RGB", size, _PAPER)
    pen, left = ImageDraw.Draw(sheet), _GAP
    for (label, panel), width in zip(panels.items(), widths, strict=True):
        pen.text((left, 3), label, fill=_INK)
        mask = panel.getchannel("A") if panel.mode.endswith("A") else None
        sheet.paste(panel.convert("RGB"), (left, _LINE), mask)
        left += width + _GAP
    return sheet
