"""Checks of a figure: its layout in pixels, its legend, curves and marks."""


def assert_tidy(figure):
    """Everything is inside the figure, and its legend covers no panel."""
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes] + [each.get_window_extent() for each in figure.legends]
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    for k, box in enumerate(boxes):
        for other in boxes[k + 1 :]:
            assert (
                min(box.x1, other.x1) - max(box.x0, other.x0) < 1 or min(box.y1, other.y1) - max(box.y0, other.y0) < 1
            )


def legend_texts(figure):
    """The legend's entries, without the blanks that fill its rows."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts() if text.get_text().strip()]


def curves(axes):
    """The lines with more than two points, which excludes marks and rules."""
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def marks(axes):
    """``(x, y, marker)`` of each single mark."""
    return [
        (float(x), float(y), line.get_marker())
        for line in axes.lines
        if len(line.get_xdata()) == 1
        for x, y in line.get_xydata()
    ]
