"""The drawing page in a real browser, opened from a file with the network off."""

import base64
from collections.abc import Iterator

import numpy as np
import pytest
from msgspec.structs import asdict
from PIL import Image
from test_demo import digits, png  # noqa: F401  (a fixture)

from hardening.photographs import make_photograph
from modelzoo.data.images import read_image
from modelzoo.page import make
from modelzoo.training.engine import golden_images, start_engine
from modelzoo.training.resolve import resolve

page_visit = pytest.importorskip("hardening.page_visit")  # without Playwright

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(page_visit.browser_path() is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    make.write_page(map(resolve, make.packaged_networks()), path)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with page_visit.chromium() as started:
        yield started


@pytest.fixture
def visit(browser, file) -> Iterator:
    """The page at a desktop."""
    with page_visit.visited(browser, file) as opened:
        yield opened


@pytest.fixture
def phone(browser, file) -> Iterator:
    with page_visit.visited(browser, file, 375, 667) as opened:
        yield opened


def test_ten_digits_drawn_in_two_sizes_are_read(visit):
    wrong = []
    for size in (1.0, 0.6):
        for digit, strokes in enumerate(page_visit.DIGITS):
            visit.page.click("#clear")
            for stroke in strokes:
                visit.draw(stroke, size)
            visit.page.locator("#headlines strong").wait_for()
            visit.page.wait_for_function("soon === null")
            read = visit.page.locator("#headlines strong").inner_text()
            if read != str(digit):
                wrong.append((digit, size, read))
    assert len(wrong) <= 1, wrong


COMPUTE = """async ([number, pixels, unit]) => {
  const network = await networkOf(number), values = network.forward(pixels);
  const upstream = values[network.scoring].map((_, at) => at === unit ? 1 : 0);
  return {
    outputs: [...values.at(-1)],
    features: network.features(values).map(([layer, found]) => [layer.name, [...found]]),
    gradient: [...network.gradient(values, upstream)],
  };
}"""


def difference(found: list[float], expected: np.ndarray) -> float:
    """Return the largest difference; of large values, as a share of the largest."""
    scale = max(1.0, float(np.abs(expected).max()))
    return float(np.abs(np.array(found) - expected.ravel()).max()) / scale


def test_every_packaged_network_computes_what_numpy_does(visit):
    """Outputs, feature maps and the gradient by the image, to 1e-5."""
    worst = {}
    for number, name in enumerate(make.packaged_networks()):
        source = resolve(name)
        engine, forward = start_engine(source), source.forward()
        images = golden_images(1, 1, source.config.image_shape)
        outputs = engine.predict(images)
        unit = int(outputs.argmax())
        found = visit.page.evaluate(COMPUTE, [number, images.ravel().tolist(), unit])
        features = dict(forward.features(engine.preprocessing.predict(images)))
        expected = engine.input_gradient(images, np.eye(outputs.shape[1])[[unit]])
        assert [layer for layer, _ in found["features"]] == list(features)
        gaps = {layer: difference(each, features[layer]) for layer, each in found["features"]}
        gaps["outputs"] = difference(found["outputs"], outputs)
        gaps["gradient"] = float(
            np.abs(np.array(found["gradient"]) - expected.ravel()).max() / np.abs(expected).max()
        )
        worst[name] = max(gaps.items(), key=lambda pair: pair[1])
        print(name, {layer: f"{gap:.1e}" for layer, gap in gaps.items()})
    assert all(gap <= 1e-5 for _, gap in worst.values()), worst


def test_the_gradient_that_the_page_uses_is_numpys(visit):
    """The check above compares with NumPy's; this one with small steps of the page's own scores."""
    slope = visit.page.evaluate(
        """async () => {
          const network = await networkOf(0), pixels = new Float32Array(784).fill(0);
          for (let row = 4; row < 24; row++) pixels.fill(200, 28 * row + 12, 28 * row + 16);
          const values = network.forward(pixels), at = 28 * 12 + 16;
          const upstream = values[network.scoring].map((_, unit) => unit === 1 ? 1 : 0);
          const score = image => network.forward(image)[network.scoring][1];
          const [more, less] = [pixels.slice(), pixels.slice()];
          more[at] += 4;
          less[at] -= 4;
          return [network.gradient(values, upstream)[at], (score(more) - score(less)) / 8];
        }"""
    )
    assert slope[0] == pytest.approx(slope[1], rel=0.02) and slope[0] != 0


PREPARE = """([number, width, height, data]) => {
  const image = new ImageData(Uint8ClampedArray.from(data), width, height);
  const {pixels, problem} = prepare(image, DESCRIPTIONS[number]);
  return [[...pixels], problem];
}"""


def test_images_are_prepared_as_predict_prepares_files(visit, digits):  # noqa: F811
    """Drawings, photographs and blank sheets, for networks of grey and of colour."""
    random = np.random.default_rng(0)
    paper = np.full((180, 260), 225, np.uint8)
    four = Image.fromarray(255 - digits[0][digits[1] == 4][0][..., 0]).resize((100, 120))
    paper[30:150, 90:190] = np.minimum(225, np.asarray(four))
    photo = np.asarray(
        Image.fromarray(random.integers(0, 255, (9, 12, 3), np.uint8)).resize((90, 70))
    )
    blank, exact = np.full((64, 64), 250, np.uint8), digits[0][3][..., 0]
    names = make.packaged_networks()
    for picture in (paper, photo, blank, exact):
        rgba = np.asarray(Image.fromarray(picture).convert("RGBA"))
        height, width = rgba.shape[:2]
        for number, name in enumerate(names):
            config = resolve(name).config
            expected = read_image(png(picture), config.image_shape, **asdict(config.image))
            given = [number, width, height, rgba.ravel().tolist()]
            pixels, problem = visit.page.evaluate(PREPARE, given)
            gap = np.abs(np.array(pixels) - expected.pixels.ravel().astype(int)).max()
            assert problem == expected.problem and gap <= 1, (name, picture.shape, gap)


FIND = """([width, height, text]) => {  // a list of numbers would take minutes to arrive
  const data = Uint8ClampedArray.from(atob(text), letter => letter.charCodeAt(0));
  const image = new ImageData(data, width, height);
  return prepare(image, DESCRIPTIONS[0]).digits.map(({box, pixels}) => [box, [...pixels]]);
}"""


@pytest.mark.parametrize("kind", ["hard_shadow", "ruled_dark_lines", "pen_beside", "several"])
def test_the_page_finds_the_digits_that_predict_finds(visit, kind):
    _, photo = make_photograph(kind, 4)
    config = resolve(make.packaged_networks()[0]).config
    expected = read_image(png(np.asarray(photo)), config.image_shape, **asdict(config.image))
    rgba = base64.b64encode(photo.convert("RGBA").tobytes()).decode()
    found = visit.page.evaluate(FIND, [photo.width, photo.height, rgba])
    assert [tuple(box) for box, _ in found] == [each.box for each in expected.digits]
    for (_, pixels), each in zip(found, expected.digits, strict=True):
        assert np.abs(np.array(pixels) - each.pixels.ravel().astype(int)).max() <= 3


def test_several_digits_are_framed_and_read_as_a_number(visit, tmp_path):
    shown, photo = make_photograph("several", 4)
    photo.save(tmp_path / "number.png")
    visit.page.locator("input[type=file]").set_input_files(tmp_path / "number.png")
    visit.sees(shown)
    frames = visit.page.locator("#frames > div")
    assert frames.count() == len(shown) and frames.all_inner_texts() == list(shown)
    sheet = visit.page.locator("#sheet").bounding_box()
    for box in (frames.nth(at).bounding_box() for at in range(len(shown))):
        assert sheet["x"] <= box["x"] and box["x"] + box["width"] <= sheet["x"] + sheet["width"]
    visit.page.click("#clear")
    assert frames.count() == 0


def test_answers_come_while_the_stroke_is_being_drawn(visit):
    box = visit.page.locator("#sheet").bounding_box()
    visit.page.mouse.move(box["x"] + 130, box["y"] + 40)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + 130, box["y"] + 250, steps=10)
    visit.sees("1")
    visit.page.mouse.up()


def test_all_parts_are_shown_and_a_stroke_is_undone(visit):
    visit.draw(page_visit.THREE)
    visit.sees("3")
    shown = visit.page.locator
    assert shown(".maps canvas").count() == 7 and shown(".row canvas").count() == 3
    shown("#details", has_text="No pixel changes by more than 25.5 of 255").wait_for()
    assert "C1 6 maps of 24x24" in shown(".maps").inner_text()
    visit.page.click("#undo")
    shown("#headlines", has_text="Draw a digit").wait_for()
    visit.draw(page_visit.SEVEN)
    visit.sees("7")


def test_two_networks_stand_side_by_side(visit):
    visit.choose("lenet5_1998/mnist", "second")
    visit.draw(page_visit.SEVEN)
    visit.sees("7")
    left, right = (visit.page.locator(".headline").nth(at).bounding_box() for at in (0, 1))
    assert left["y"] == right["y"] and left["x"] < right["x"]
    assert "no softmax" in visit.page.locator("#values > div").nth(1).inner_text()


def test_a_scribble_is_doubtful(visit):
    random = np.random.default_rng(2)
    for _ in range(6):
        visit.draw([tuple(point) for point in random.uniform(0.1, 0.9, (4, 2))])
    marks = []
    for name in ("lenet5/mnist", "mlp/mnist", "neocognitron_mnist/mnist"):
        visit.choose(name)
        probability = float(visit.page.locator(".best .value").inner_text().rstrip("%"))
        marks.append(visit.page.locator(".doubt").inner_text() == "uncertain")
        assert marks[-1] == (probability < 60), name
    assert any(marks)


def test_a_phone_shows_the_prediction_above_the_fold(phone):
    for width in (375, 320):
        phone.page.set_viewport_size({"width": width, "height": 667})
        phone.draw(page_visit.THREE)
        phone.sees("3")
        box = phone.page.locator("#headlines").bounding_box()
        sheet = phone.page.locator("#sheet").bounding_box()
        assert box["y"] + box["height"] < 667 and sheet["y"] + sheet["height"] < 667
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= width
        phone.page.click("#clear")
    touch = "getComputedStyle(document.querySelector('#sheet')).touchAction"
    assert phone.page.evaluate(touch) == "none"


def test_the_keyboard_alone_is_enough(visit):
    """Tab to an example and take it, choose another network, and change epsilon."""
    keyboard = visit.page.keyboard

    def tab_to(wanted: str) -> None:
        for _ in range(40):
            keyboard.press("Tab")
            if visit.page.evaluate(f"document.activeElement.matches({wanted!r})"):
                return
        raise AssertionError(f"{wanted} is not reached by the tabulator key")

    tab_to("[aria-label='Try a handwritten 5']")
    keyboard.press("Enter")
    visit.sees("5")
    tab_to("#first")
    keyboard.type("lenet5_1998")
    visit.page.get_by_text("This network has no softmax").wait_for()
    tab_to("#epsilon")
    keyboard.press("Home")
    visit.page.get_by_text("more than 0.0 of 255").wait_for()


def test_a_picture_is_dropped_or_chosen(visit, digits, tmp_path):  # noqa: F811
    images, labels = digits
    photo = np.full((300, 400), 230, np.uint8)  # a dark 4 on light paper
    four = Image.fromarray(255 - images[labels == 4][0][..., 0]).resize((200, 200))
    photo[50:250, 100:300] = np.minimum(230, np.asarray(four))
    path = tmp_path / "four.png"
    path.write_bytes(png(photo))
    visit.page.locator("input[type=file]").set_input_files(path)
    visit.sees("4")
    content = base64.b64encode(png(images[labels == 8][0])).decode()
    visit.page.evaluate(
        """content => {
          const dropped = new DataTransfer();
          dropped.items.add(new File([bytesOf(content)], "8.png", {type: "image/png"}));
          document.querySelector("canvas").dispatchEvent(
            new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true}));
        }""",
        content,
    )
    visit.sees("8")
    path.write_text("not an image")
    visit.page.locator("input[type=file]").set_input_files(path)
    visit.page.get_by_text("not an image that this browser can read").wait_for()
    visit.draw(page_visit.SEVEN)  # a stroke starts a new sheet
    visit.sees("7")


def test_everything_has_a_name_for_screen_readers(visit):
    visit.page.get_by_role("button", name="Try a handwritten 3").click()
    visit.sees("3")
    page_visit.expect(visit.page.locator("#status")).to_have_text("lenet5/mnist: 3")
    unnamed = visit.page.evaluate(
        """() => [...document.querySelectorAll("canvas, button, input, select")]
          .filter(e => e.checkVisibility() && !e.closest("[aria-label]:not(section)")
            && !e.getAttribute("aria-labelledby") && !e.labels?.length && !e.textContent.trim())
          .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []
