"""Draws scenes of overlapping textured shapes, with the mask that says what is where.

Shapes are signed distance fields (negative inside, in pixels), which give soft edges, drop
shadows and the ignored border from one array. Every length scales with the picture, so that
a model trained on small scenes knows the shapes of large ones.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from segflow.label_map import LabelClass, LabelMap

Field = NDArray[np.float32]

_REFERENCE_AREA = 128 * 160  # pixels at which one unit of length is one pixel
_BORDER = 1.0  # pixels on each side of an outline that no one should be scored on
_HUE_SPREAD = 0.09  # of the circle; classes lie 0.2 apart: a hint, which light and noise blur


LABEL_MAP = LabelMap(
    (
        LabelClass(0, "background", (64, 64, 64)),
        LabelClass(1, "disc", (219, 190, 60)),
        LabelClass(2, "box", (46, 160, 90)),
        LabelClass(3, "triangle", (58, 110, 200)),
        LabelClass(4, "ring", (160, 80, 190)),
        LabelClass(5, "star", (214, 69, 65)),
    )
)


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 [h, w, 3] RGB, and its mask, uint8 [h, w] of class ids and 255."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class _Frame:
    """A shape's own coordinates: pixel offsets from its centre, turned by its angle."""

    u: Field
    v: Field
    radius: float


def draw_scene(height: int, width: int, rng: np.random.Generator) -> Scene:
    """Draws one scene of two to six shapes, later ones over earlier ones.

    Args:
        height: In pixels, at least 16.
        width: Likewise.
        rng: The source of every choice; equal states give equal scenes.
    """
    unit = math.sqrt(height * width / _REFERENCE_AREA)
    canvas = _background(height, width, unit, rng)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(2, 7)):
        class_id = int(rng.integers(1, LABEL_MAP.num_classes))
        frame = _random_frame(height, width, unit, rng)
        distance = _SHAPES[LABEL_MAP.names[class_id]](frame, rng)
        _cast_shadow(canvas, distance, unit)
        cover = np.clip(0.5 - distance, 0, 1)[..., None]
        canvas += cover * (_material(class_id, frame, unit, rng) - canvas)
        mask[distance < 0] = class_id
        mask[np.abs(distance) < _BORDER] = LABEL_MAP.ignore_id
    return Scene(_photograph(canvas, unit, rng), mask)


def _random_frame(height: int, width: int, unit: float, rng: np.random.Generator) -> _Frame:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x -= np.float32(rng.uniform(0.1, 0.9) * width)
    y -= np.float32(rng.uniform(0.1, 0.9) * height)
    angle = rng.uniform(0, 2 * math.pi)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return _Frame(cos * x + sin * y, cos * y - sin * x, float(rng.uniform(16, 34) * unit))


# Shapes: signed distance to the outline in pixels, negative inside.


def _disc(frame: _Frame, rng: np.random.Generator) -> Field:
    return np.hypot(frame.u, frame.v) - np.float32(0.9 * frame.radius)


def _box(frame: _Frame, rng: np.random.Generator) -> Field:
    half_width, half_height = frame.radius * rng.uniform(0.55, 1.0, 2)
    x = np.abs(frame.u) - np.float32(half_width)
    y = np.abs(frame.v) - np.float32(half_height)
    outside = np.hypot(np.maximum(x, 0), np.maximum(y, 0))
    return outside + np.minimum(np.maximum(x, y), 0)


def _triangle(frame: _Frame, rng: np.random.Generator) -> Field:
    return _polygon(frame, np.full(3, 1.15 * frame.radius))


def _ring(frame: _Frame, rng: np.random.Generator) -> Field:
    thickness = np.float32(frame.radius * rng.uniform(0.2, 0.3))
    return np.abs(np.hypot(frame.u, frame.v) - np.float32(0.8 * frame.radius)) - thickness


def _star(frame: _Frame, rng: np.random.Generator) -> Field:
    return _polygon(frame, np.tile([1.2 * frame.radius, 0.55 * frame.radius], 5))


_SHAPES: dict[str, Callable[[_Frame, np.random.Generator], Field]] = {
    "disc": _disc,
    "box": _box,
    "triangle": _triangle,
    "ring": _ring,
    "star": _star,
}


def _polygon(frame: _Frame, radii: NDArray[np.float64]) -> Field:
    """Signed distance to the polygon whose corners lie at `radii`, at equal angles."""
    angles = np.arange(len(radii)) * 2 * math.pi / len(radii)
    corners = np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1).astype(np.float32)
    squared = np.full_like(frame.u, np.inf)
    inside = np.zeros(frame.u.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, 0), strict=True):
        ex, ey, px, py = bx - ax, by - ay, frame.u - ax, frame.v - ay
        along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
        np.minimum(squared, (px - along * ex) ** 2 + (py - along * ey) ** 2, out=squared)
        crossed = (py < 0) != (frame.v - by < 0)  # even-odd rule, ray along +u
        inside ^= crossed & ((px * ey < py * ex) == (ey > 0))
    return np.where(inside, -1, 1).astype(np.float32) * np.sqrt(squared)


# Surfaces: a pattern in 0-1 mixes two colours.


def _stripes(frame: _Frame, unit: float, rng: np.random.Generator) -> Field:
    period = rng.uniform(5, 12) * unit
    return 0.5 + 0.5 * np.sin(frame.u * np.float32(2 * math.pi / period))


def _checks(frame: _Frame, unit: float, rng: np.random.Generator) -> Field:
    k = np.float32(math.pi / (rng.uniform(4, 9) * unit))
    return 0.5 + 0.5 * np.sign(np.sin(frame.u * k) * np.sin(frame.v * k))


def _dots(frame: _Frame, unit: float, rng: np.random.Generator) -> Field:
    k = np.float32(2 * math.pi / (rng.uniform(6, 11) * unit))
    return (np.cos(frame.u * k) + np.cos(frame.v * k) > 0.7).astype(np.float32)


def _clouds(frame: _Frame, unit: float, rng: np.random.Generator) -> Field:
    """Value noise in two octaves."""
    height, width = frame.u.shape
    total = np.zeros((height, width), np.float32)
    for cell, weight in ((rng.uniform(20, 40), 0.65), (rng.uniform(5, 9), 0.35)):
        shape = (int(height / cell / unit) + 2, int(width / cell / unit) + 2)
        grid = Image.fromarray(rng.random(shape, np.float32))
        total += weight * np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(1.6 * total - 0.3, 0, 1)


_PATTERNS = (_stripes, _checks, _dots, _clouds)


def _material(class_id: int, frame: _Frame, unit: float, rng: np.random.Generator) -> Field:
    """RGB float32 [h, w, 3] in 0-255; any class may wear any pattern, hues only lean one way."""
    hue = class_id / len(_SHAPES) + rng.uniform(-_HUE_SPREAD, _HUE_SPREAD)
    pattern = _PATTERNS[rng.integers(len(_PATTERNS))](frame, unit, rng)
    light = _rgb(hue, rng.uniform(0.35, 0.8), rng.uniform(0.75, 1.0))
    dark = _rgb(hue + rng.uniform(-0.04, 0.04), rng.uniform(0.4, 0.9), rng.uniform(0.4, 0.65))
    return _mix(pattern, dark, light)


def _background(height: int, width: int, unit: float, rng: np.random.Generator) -> Field:
    """Two muted surfaces that meet along the bands of a cloud."""
    surfaces = []
    for _ in range(2):
        frame = _random_frame(height, width, unit, rng)
        pattern = _PATTERNS[rng.integers(len(_PATTERNS))](frame, unit, rng)
        base, value = rng.random(), rng.uniform(0.3, 0.85)
        colors = [
            _rgb(base + rng.uniform(-0.1, 0.1), rng.uniform(0.05, 0.35), value + offset)
            for offset in (-0.1, 0.12)
        ]
        surfaces.append(_mix(pattern, *colors))
    border = np.clip(6 * (_clouds(frame, 2 * unit, rng) - 0.5), 0, 1)[..., None]
    return surfaces[0] + border * (surfaces[1] - surfaces[0])


def _cast_shadow(canvas: Field, distance: Field, unit: float) -> None:
    depth = np.clip(1 - np.maximum(distance, 0) / np.float32(5 * unit), 0, 1)
    canvas *= 1 - 0.35 * depth[..., None] ** 2


def _photograph(canvas: Field, unit: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Uneven light, a lens slightly out of focus, and a noisy sensor; uint8 [h, w, 3]."""
    height, width = canvas.shape[:2]
    frame = _random_frame(height, width, unit, rng)
    slope = np.float32(rng.uniform(0, 0.5) / math.hypot(height, width))
    lit = canvas * (np.float32(rng.uniform(0.7, 1.1)) + slope * frame.u)[..., None]
    picture = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
    blurred = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.9) * unit))
    noise = rng.standard_normal(canvas.shape, np.float32) * np.float32(rng.uniform(2, 14))
    return np.clip(np.asarray(blurred, np.float32) + noise, 0, 255).astype(np.uint8)


def _mix(pattern: Field, dark: Field, light: Field) -> Field:
    return dark + pattern[..., None] * (light - dark)


def _rgb(hue: float, saturation: float, value: float) -> Field:
    """HSV, each in 0-1 (the hue wraps), to RGB float32 [3] in 0-255."""
    sector = (np.array([5, 3, 1]) + hue * 6) % 6  # the closed form of hsv_to_rgb
    part = np.clip(np.minimum(sector, 4 - sector), 0, 1)
    return (255 * np.clip(value, 0, 1) * (1 - saturation * part)).astype(np.float32)
