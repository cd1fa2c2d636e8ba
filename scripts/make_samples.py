"""Draw the sample images of the package: ten digits on paper, and three rendered scenes.

python scripts/make_samples.py            write modelzoo/data/files/samples/*.jpg
python scripts/make_samples.py --out DIR  write them elsewhere

A digit is pen strokes on paper under a lamp, seen by a camera; a scene is a distance field, whose
rays are marched to the first surface (Hart 1996), lit by a sun that casts shadows. Nothing is
copied from a data set or a photograph.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

FOLDER = Path(__file__).resolve().parents[1] / "modelzoo/data/files/samples"
QUALITY = 82  # of JPEG
Field = Callable[[np.ndarray], list[tuple[np.ndarray, tuple[float, float, float]]]]

# --- Digits: strokes through points (x to the right, y down, in a box of 100 x 150) ---------------

STROKES = {  # points "x,y" in hundredths; strokes are apart by slashes
    "0": "60,3 20,25 6,80 30,140 70,138 95,80 80,20 52,4",
    "1": "46,22 60,5 57,70 54,147",
    "2": "10,40 35,5 78,15 78,55 40,105 5,142 / 5,142 50,140 98,138",
    "3": "12,15 55,2 85,30 38,68 / 38,68 88,90 80,135 40,148 5,130",
    "4": "32,5 16,50 10,85 50,84 97,80 / 76,20 72,80 68,148",
    "5": "90,5 55,8 24,10 / 24,10 17,62 55,55 90,85 75,135 35,148 4,130",
    "6": "72,3 30,40 10,100 35,146 80,130 78,88 42,80 14,110",
    "7": "6,14 50,12 93,10 / 93,10 60,75 38,148",
    "8": "82,20 45,3 20,30 50,68 85,110 50,147 14,115 50,70 84,35 78,16",
    "9": "86,30 50,4 16,35 40,72 84,35 80,90 62,148",
}
INKS = [(28, 32, 44), (26, 48, 130), (60, 60, 66), (150, 30, 34), (20, 70, 60)]
PAPERS = [(246, 244, 238), (240, 232, 208), (226, 232, 238), (222, 222, 218), (248, 240, 226)]
DIGIT_SIZE, FINE = 240, 3  # pixels of a side; and how much finer it is drawn


def digit(name: str) -> Image.Image:
    """Draw a digit with the pen, paper and lamp of its number."""
    number = int(name)
    random = np.random.RandomState(1980 + number)
    side = DIGIT_SIZE * FINE
    height = side * random.uniform(0.34, 0.5)
    centre = side * (0.5 + random.uniform(-0.08, 0.08, 2))
    turn, slant = random.uniform(-0.07, 0.07), random.uniform(-0.05, 0.18)
    shear = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn) - slant, np.cos(turn)]])
    pen = height * random.uniform(0.045, 0.085)
    ink = Image.new("L", (side, side))
    brush = ImageDraw.Draw(ink)
    for stroke in STROKES[name].split("/"):
        points = np.array([point.split(",") for point in stroke.split()], float) / 100
        points += random.normal(0, 0.012, points.shape)
        for x, y in smooth((points - [0.5, 0.75]) @ shear * (height / 1.5) + centre):
            radius = pen / 2 * (1 + random.normal(0, 0.03))
            brush.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    cover = np.asarray(ink.filter(ImageFilter.GaussianBlur(FINE)), float)[..., None] / 255
    grain = noise(random, side, side // 2) * 0.6 + noise(random, side, side // 5) * 0.4
    paper = np.array(PAPERS[number % 5]) * (1 + 0.035 * grain[..., None])
    dry = 0.82 + 0.12 * noise(random, side, side // 3)[..., None]  # ink does not cover evenly
    seen = paper + cover * dry * (np.array(INKS[(number * 3) % 5]) - paper)
    rows, columns = np.mgrid[0:side, 0:side] / side
    lamp = random.uniform(0.1, 0.9, 2)
    light = 1.0 - 0.2 * ((columns - lamp[0]) ** 2 + (rows - lamp[1]) ** 2)
    warmth = np.array([1.0, 0.97, 0.9]) if number % 2 else np.array([0.96, 0.98, 1.0])
    return camera(seen * light[..., None] * warmth / 255, random, FINE, 2.2)


def smooth(points: np.ndarray, steps: int = 60) -> np.ndarray:
    """Return a Catmull-Rom curve through points, (n, 2)."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    before, start, stop, after = ends[:-3, None], ends[1:-2, None], ends[2:-1, None], ends[3:, None]
    t = np.linspace(0, 1, steps)[:, None]
    curve = 2 * start + (stop - before) * t + (2 * before - 5 * start + 4 * stop - after) * t**2
    curve = curve + (3 * start - before - 3 * stop + after) * t**3
    return curve.reshape(-1, 2) / 2


# --- What both have -----------------------------------------------------------------------------


def noise(random: np.random.RandomState, side: int, cells: int, width: int = 0) -> np.ndarray:
    """Return smooth noise of so many cells a side, about -1..1, (side, width or side)."""
    grid = Image.fromarray(random.normal(0, 0.5, (cells, cells)).astype("float32"))
    return np.asarray(grid.resize((width or side, side), Image.Resampling.BICUBIC))


def camera(
    seen: np.ndarray, random: np.random.RandomState, fine: int, levels: float
) -> Image.Image:
    """Reduce linear colours in 0..1 to pixels as a lens and a sensor do: soft, darker corners."""
    height, width = seen.shape[0] // fine, seen.shape[1] // fine
    pixels = seen[: height * fine, : width * fine].reshape(height, fine, width, fine, 3)
    pixels = pixels.mean(axis=(1, 3))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    pixels = pixels * (1 - 0.05 * (x**2 + y**2))[..., None] * 255
    pixels += random.normal(0, levels, pixels.shape[:2])[..., None]
    pixels += random.normal(0, levels / 2, pixels.shape)
    image = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(0.5))


# --- Scenes: distances to solids, metres, y up --------------------------------------------------

WIDTH, HEIGHT, RAYS = 280, 210, 2  # RAYS by RAYS for each pixel
FAR = 400.0


def length(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt((vectors**2).sum(axis=-1))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / length(vectors)[..., None]


def box(p: np.ndarray, centre: object, half: object, rounded: float = 0.02) -> np.ndarray:
    """Return distances to a box with rounded edges."""
    q = np.abs(p - np.array(centre)) - np.array(half) + rounded
    return length(np.maximum(q, 0)) + np.minimum(q.max(axis=-1), 0) - rounded


def capsule(p: np.ndarray, start: object, stop: object, radius: float) -> np.ndarray:
    """Return distances to a rod with round ends."""
    a, along = np.array(start), np.subtract(stop, start)
    t = np.clip((p - a) @ along / (along @ along), 0, 1)
    return length(p - a - t[..., None] * along) - radius


def ellipsoid(p: np.ndarray, centre: object, radii: object) -> np.ndarray:
    """Return about the distances to an ellipsoid."""
    q, r = p - np.array(centre), np.array(radii)
    k = length(q / r)
    return k * (k - 1) / np.maximum(length(q / r**2), 1e-9)


def wheel(p: np.ndarray, centre: object, radius: float, half: float) -> np.ndarray:
    """Return distances to a cylinder whose axis is z."""
    q = p - np.array(centre)
    d = np.stack([np.hypot(q[..., 0], q[..., 1]) - radius, np.abs(q[..., 2]) - half], axis=-1)
    return np.minimum(d.max(axis=-1), 0) + length(np.maximum(d, 0))


def airplane(p: np.ndarray) -> list:
    """An airliner that climbs to the right."""
    white, grey, blue, dark = (
        (0.9, 0.9, 0.92),
        (0.62, 0.64, 0.68),
        (0.1, 0.2, 0.5),
        (0.1, 0.1, 0.12),
    )
    x, y, z = np.moveaxis(p, -1, 0)
    side = np.abs(z)
    wing = np.stack([x + 0.55 * side - 0.6, y + 0.5 - 0.09 * side, z], axis=-1)
    tail = np.stack([x + 0.6 * side + 5.6, y - 0.35, z], axis=-1)
    fin = np.stack([x + 0.75 * (y - 0.4) + 5.2, y, z], axis=-1)
    engines = np.stack([x, y, side], axis=-1)
    body = np.minimum(
        capsule(p, (-4.2, 0, 0), (4.6, 0, 0), 0.78), capsule(p, (-7, 0.32, 0), (-4.2, 0, 0), 0.4)
    )
    windows = box(p, (0, 0.22, 0), (4.4, 0.09, 0.79))
    return [
        (body, white),
        (np.maximum(windows, np.abs(np.mod(x, 0.42) - 0.21) - 0.1) * 0.7, dark),
        (box(p, (5.05, 0.35, 0), (0.2, 0.12, 0.6)), dark),
        (box(wing, (0, 0, 0), (0.95, 0.09, 6.6), 0.08) * 0.75, grey),
        (box(tail, (0, 0, 0), (0.5, 0.06, 2.3), 0.05) * 0.75, grey),
        (box(fin, (0, 1.2, 0), (0.7, 1.25, 0.07), 0.05) * 0.75, blue),
        (capsule(engines, (0.2, -0.95, 2.3), (1.5, -0.95, 2.3), 0.36), grey),
    ]


def ship(p: np.ndarray) -> list:
    """A freighter on the sea, its bow to the right."""
    red, hull, white, dark, orange = (
        (0.45, 0.1, 0.08),
        (0.08, 0.11, 0.2),
        (0.88, 0.88, 0.85),
        (0.12, 0.13, 0.15),
        (0.75, 0.35, 0.1),
    )
    x, y, z = np.moveaxis(p, -1, 0)
    narrow = 1 - np.clip((x - 5) / 7, 0, 1) ** 2 * 0.93  # towards the bow
    formed = np.stack([x - 0.35 * y * (x > 4) * np.clip((x - 4) / 6, 0, 1), y, z / narrow], axis=-1)
    waves = (
        0.06 * np.sin(1.3 * x + 0.7 * z)
        + 0.05 * np.sin(0.9 * z - 2.1 * x)
        + 0.03 * np.sin(5.1 * x + 3.7 * z)
    )
    decks = [
        (box(p, (-7, 3.1 + k, 0), (2.1 - 0.25 * k, 0.5, 1.7 - 0.15 * k), 0.06), white)
        for k in range(4)
    ]
    glass = [
        (box(p, (-7, 3.25 + k, 0), (2.13 - 0.25 * k, 0.13, 1.73 - 0.15 * k), 0.02), dark)
        for k in range(4)
    ]
    cargo = [
        (box(p, (c, 2.75, 0), (1.15, 0.75 + 0.35 * (k % 2), 1.5), 0.05), colour)
        for k, (c, colour) in enumerate(
            [
                (-3.4, orange),
                (-0.9, (0.12, 0.3, 0.45)),
                (1.6, (0.5, 0.16, 0.12)),
                (4.1, (0.2, 0.4, 0.25)),
                (6.4, orange),
            ]
        )
    ]
    return [
        (y - waves, (0.05, 0.16, 0.24)),
        (box(formed, (0, 0.9, 0), (11, 1.25, 1.9), 0.2) * 0.6, hull),
        (box(formed, (0, 0.15, 0), (11.02, 0.3, 1.93), 0.2) * 0.6, red),
        *decks,
        *glass,
        *cargo,
        (capsule(p, (-8.3, 6, 0), (-8.5, 8, 0), 0.5), red),
        (capsule(p, (9, 2, 0), (9, 5.5, 0), 0.09), white),
        (capsule(p, (-6, 7, 0), (-6, 9.3, 0), 0.08), white),
    ]


def automobile(p: np.ndarray) -> list:
    """A car on a road, its front to the right."""
    red, dark, glass, rim = (
        (0.62, 0.05, 0.05),
        (0.035, 0.035, 0.04),
        (0.06, 0.08, 0.1),
        (0.6, 0.6, 0.62),
    )
    x, y, z = np.moveaxis(p, -1, 0)
    lean = 1 - 0.42 * np.clip((y - 0.85) / 0.6, 0, 1)  # the cabin is narrower at its top
    cabin = np.stack([(x + 0.25) / lean, y, z / (0.55 + 0.45 * lean)], axis=-1)
    nose = np.stack([x, y + 0.10 * np.clip(x - 0.8, 0, 2) ** 1.5, z], axis=-1)
    wheels = np.stack([np.abs(x - 0.05), y, np.abs(z)], axis=-1)
    body = np.maximum(
        box(nose, (0, 0.62, 0), (2.15, 0.33, 0.86), 0.2),
        -wheel(wheels, (1.32, 0.34, 0.9), 0.42, 0.3),
    )
    trees = np.stack([np.mod(x, 5.3) - 2.6, y, z], axis=-1)
    return [
        (y, (0.2, 0.2, 0.21)),
        (np.maximum(y - 0.03, 3.2 - np.abs(z)), (0.16, 0.26, 0.07)),
        (ellipsoid(trees, (0, 1.8, -15), (2.9, 3.2, 1.5)) * 0.6, (0.07, 0.14, 0.05)),
        (body * 0.8, red),
        (box(cabin, (0, 1.1, 0), (1.38, 0.38, 0.8), 0.12) * 0.6, glass),
        (box(cabin, (0, 1.44, 0), (1.36, 0.06, 0.81), 0.06) * 0.6, red),
        (box(cabin, (-0.1, 1.1, 0), (0.06, 0.36, 0.815), 0.02) * 0.6, red),
        (wheel(wheels, (1.32, 0.34, 0.76), 0.34, 0.11), dark),
        (wheel(wheels, (1.32, 0.34, 0.78), 0.2, 0.11), rim),
        (
            ellipsoid(np.stack([x, y, np.abs(z)], -1), (2.06, 0.66, 0.6), (0.12, 0.1, 0.19)),
            (0.95, 0.93, 0.85),
        ),
        (box(p, (2.1, 0.42, 0), (0.09, 0.09, 0.6), 0.04), dark),
        (
            box(np.stack([x, y, np.abs(z)], -1), (-2.1, 0.72, 0.65), (0.08, 0.09, 0.17), 0.04),
            (0.6, 0.02, 0.02),
        ),
    ]


# Of each: the field, the eye, what it looks at, the width of view, the direction of the sun.
SCENES: dict[str, tuple] = {
    "airplane": (airplane, (6, -6, 17), (0, 0.3, 0), 0.95, (0.4, 0.8, 0.6)),
    "automobile": (automobile, (4.6, 1.7, 5.6), (0, 0.62, 0), 0.85, (0.3, 0.75, 0.6)),
    "ship": (ship, (8, 4.6, 29), (0.4, 3.2, 0), 0.92, (0.5, 0.6, 0.65)),
}


def scene(name: str) -> Image.Image:
    """Render a scene."""
    field, eye, target, view, sun = SCENES[name]
    random = np.random.RandomState(2012)
    sun = unit(np.array(sun, float))
    origin = np.array(eye, float)
    forward = unit(np.subtract(target, eye))
    right = unit(np.cross(forward, [0, 1, 0]))
    up = np.cross(right, forward)
    y, x = np.mgrid[1 : -1 : HEIGHT * RAYS * 1j, -1 : 1 : WIDTH * RAYS * 1j]
    across = x[..., None] * right + y[..., None] * up * (HEIGHT / WIDTH)
    rays = unit(forward + across * (view / 2)).reshape(-1, 3)
    distance = march(field, np.broadcast_to(origin, rays.shape), rays, 160)
    colours = sky(rays)
    hit = np.flatnonzero(distance < FAR)
    points = origin + rays[hit] * distance[hit, None]
    solids = field(points)
    nearest = np.argmin([found for found, _ in solids], axis=0)
    albedo = np.array([colour for _, colour in solids])[nearest]
    albedo = albedo * (1 + 0.12 * texture(points * 4))[:, None]
    normals = normal(field, points)
    facing = np.clip(normals @ sun, 0, 1)
    lit = np.flatnonzero(facing > 0)
    shade = np.ones(len(hit))
    from_surface = points[lit] + normals[lit] * 0.02
    shade[lit] = march(field, from_surface, np.broadcast_to(sun, (len(lit), 3)), 60) >= FAR
    ambient = np.array([0.34, 0.42, 0.55]) * (0.6 + 0.4 * normals[:, 1:2])
    light = 1.05 * (facing * shade)[:, None] * np.array([1.0, 0.95, 0.85]) + ambient
    mirrored = rays[hit] - 2 * (rays[hit] * normals).sum(-1, keepdims=True) * normals
    fresnel = 0.04 + 0.7 * (1 - np.clip(-(rays[hit] * normals).sum(-1), 0, 1)) ** 4
    seen = albedo * light + fresnel[:, None] * sky(mirrored) * 0.7
    seen += (0.5 * shade * np.clip(mirrored @ sun, 0, 1) ** 40)[:, None]
    haze = np.clip(distance[hit] / FAR, 0, 1)[:, None] ** 1.2
    colours[hit] = seen * (1 - haze) + haze * np.array([0.68, 0.76, 0.85])
    display = np.clip(colours, 0, 1) ** (1 / 1.9)
    return camera(display.reshape(HEIGHT * RAYS, WIDTH * RAYS, 3), random, RAYS, 3.0)


def march(field: Field, origins: np.ndarray, rays: np.ndarray, steps: int) -> np.ndarray:
    """Return how far each ray goes to the first surface; FAR if it meets none."""
    travelled = np.full(len(rays), 0.02)
    going = np.arange(len(rays))
    for _ in range(steps):
        points = origins[going] + rays[going] * travelled[going, None]
        nearest = np.min([found for found, _ in field(points)], axis=0)
        travelled[going] += nearest
        going = going[(nearest > 0.002) & (travelled[going] < FAR)]
        if not len(going):
            break
    travelled[travelled > FAR] = FAR
    return travelled


def normal(field: Field, points: np.ndarray) -> np.ndarray:
    """Return the directions in which the distance grows fastest."""
    slopes = []
    for axis in np.eye(3) * 0.004:
        ahead, behind = (
            np.min([found for found, _ in field(points + s)], axis=0) for s in (axis, -axis)
        )
        slopes.append(ahead - behind)
    found = np.stack(slopes, axis=-1)
    return found / np.maximum(length(found), 1e-9)[:, None]


def sky(rays: np.ndarray) -> np.ndarray:
    """Return the colours of the sky, pale at the horizon, with some clouds."""
    height = np.clip(rays[:, 1:2], 0, 1)
    blue, pale = np.array([0.13, 0.32, 0.68]), np.array([0.6, 0.72, 0.85])
    place = rays / (height + 0.3)
    cloud = np.clip(1.5 * texture(place * 3) - 0.25, 0, 0.7)[:, None] * np.sqrt(height)
    clear = pale + (blue - pale) * np.sqrt(height)
    return clear + cloud * (np.array([0.92, 0.93, 0.95]) - clear)


def texture(points: np.ndarray) -> np.ndarray:
    """Return a value in about -1..1 for each point, from waves in many directions."""
    random = np.random.RandomState(1998)
    value = np.zeros(len(points))
    for octave in range(5):
        along, across = random.normal(0, 2**octave, (2, 3))
        value += np.sin(points @ along + octave) * np.sin(points @ across) / 1.6**octave
    return value / 1.5


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or [*STROKES, *SCENES]:
        image = digit(name) if name in STROKES else scene(name)
        path = options.out / f"{name}.jpg"
        image.save(path, quality=QUALITY, optimize=True)
        print(f"{path} ({path.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
