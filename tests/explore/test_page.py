"""The page in a real browser: each part does what it shows, without an error and without a foreign request."""

import base64
import io
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow
from playwright.sync_api import Page, expect

from genlab.lab.run import Run
from tests.fixtures.browser import Visit, needs_browser, visit
from tests.fixtures.program import environment, genlab

pytestmark = [pytest.mark.slow, needs_browser]

# In a page: the pixels of a canvas, as a text that two canvases share only if they are equal.
PIXELS = "canvas => canvas.toDataURL()"
DROP = """([selector, content]) => {
  const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], "a.png", {type: "image/png"}));
  const dropped = new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true});
  document.querySelector(selector).dispatchEvent(dropped);
}"""


@contextmanager
def served(folder: Path, run: str, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start the command, and yield the address that it prints."""
    command = [sys.executable, "-m", "genlab", "explore", run, "--no-browser", "--port", "0", *arguments]
    variables = environment() | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=variables) as process:
        try:
            assert process.stdout
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found
            yield found[0], process
        finally:
            process.kill()


@contextmanager
def opened(address: str) -> Iterator[Visit]:
    """Open the page and wait until it is complete; at the end nothing may have gone wrong."""
    with visit(address) as found:
        found.page.wait_for_selector("body[data-ready]", timeout=90_000)
        yield found
        assert found.errors == []
        assert found.foreign(address.split("?")[0].rstrip("/")) == []
        assert "token" not in found.page.url


def pixels(page: Page, selector: str) -> str:
    found: str = page.locator(selector).first.evaluate(PIXELS)
    return found


def changes(page: Page, selector: str, before: str) -> None:
    """Wait until a canvas has changed."""
    script = "([selector, before]) => document.querySelector(selector).toDataURL() !== before"
    page.wait_for_function(script, arg=[selector, before])


def set_slider(page: Page, selector: str, value: float) -> None:
    page.locator(selector).first.evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value
    )


def picture() -> str:
    file = io.BytesIO()
    Pillow.radial_gradient("L").resize((40, 30)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def address(finished: Path) -> Iterator[str]:
    """Serve a VAE."""
    with served(finished, "outputs/mine") as (found, _):
        yield found


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    """Open the page of the VAE."""
    with opened(address) as found:
        yield found.page


def test_a_slider_changes_the_picture_and_reset_brings_it_back(page: Page) -> None:
    start = pixels(page, "#codes canvas")
    set_slider(page, "#codes [data-unit]", 3)
    changes(page, "#codes canvas", start)
    moved = pixels(page, "#codes canvas")
    page.get_by_role("button", name="Reset").click()
    changes(page, "#codes canvas", moved)
    assert pixels(page, "#codes canvas") == start
    page.get_by_role("button", name="Random", exact=True).click()
    changes(page, "#codes canvas", start)
    page.get_by_role("button", name="Reset").click()


def test_a_slider_moves_by_the_keyboard(page: Page) -> None:
    start = pixels(page, "#codes canvas")
    page.locator("#codes [data-unit]").first.focus()
    page.keyboard.press("End")
    changes(page, "#codes canvas", start)
    page.get_by_role("button", name="Reset").click()


def test_an_attribute_changes_the_picture(page: Page) -> None:
    start = pixels(page, "#codes canvas")
    set_slider(page, "[data-attribute='class 3']", 3)
    changes(page, "#codes canvas", start)
    page.get_by_role("button", name="Reset").click()


def test_the_map_shows_what_is_pointed_at_and_a_click_takes_its_code(page: Page) -> None:
    canvas = page.locator("#map canvas.map")
    box = canvas.bounding_box()
    assert box
    canvas.hover(position={"x": 9, "y": 9})
    expect(page.locator("#map figcaption")).to_have_text("decoded from this place")
    corner = pixels(page, "#map figure canvas")
    canvas.hover(position={"x": box["width"] - 9, "y": box["height"] - 9})
    changes(page, "#map figure canvas", corner)
    start = pixels(page, "#codes canvas")
    canvas.click(position={"x": 9, "y": 9})
    changes(page, "#codes canvas", start)
    expect(page.locator("#codes figcaption")).to_have_text("a place on the map, decoded")
    assert pixels(page, "#codes canvas") == corner


def test_the_map_shows_items_and_its_classes_can_be_hidden(page: Page) -> None:
    # A dot in the middle of the plot, wherever it is.
    place = page.evaluate("""() => {
        const canvas = document.querySelector("#map canvas.map"), pen = canvas.getContext("2d");
        const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
        for (let at = 0; at < data.length; at += 4)
          if (data[at + 3] === 255 && data[at] !== data[at + 1])
            return {x: (at / 4) % canvas.width, y: Math.floor(at / 4 / canvas.width)};
    }""")
    page.locator("#map canvas.map").hover(position=place)
    expect(page.locator("#map figcaption")).to_have_text(re.compile(r"test item [\d,]+, \d"))
    everything = pixels(page, "#map canvas.map")
    entry = page.locator("#map .legend button").first
    entry.click()
    expect(entry).to_have_attribute("aria-pressed", "false")
    changes(page, "#map canvas.map", everything)
    entry.click()


def test_the_map_can_be_used_by_the_keyboard(page: Page) -> None:
    page.locator("#map canvas.map").focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("The code is in the sliders.")


def test_samples_follow_the_seed_and_the_truncation_and_give_their_code(page: Page) -> None:
    first = pixels(page, "#samples canvas")
    page.get_by_role("button", name="Next seed").click()
    expect(page.locator("#samples .samples")).to_have_attribute("data-seed", "1")
    second = pixels(page, "#samples canvas")
    assert second != first
    page.get_by_label("Seed", exact=True).fill("0")
    expect(page.locator("#samples .samples")).to_have_attribute("data-seed", "0")
    assert pixels(page, "#samples canvas") == first
    set_slider(page, "#samples input[type=range]", 0.1)
    changes(page, "#samples canvas", first)
    set_slider(page, "#samples input[type=range]", 1)
    before = pixels(page, "#codes canvas")
    page.locator("#samples .cell").nth(5).click()
    changes(page, "#codes canvas", before)
    assert pixels(page, "#codes canvas") == page.locator("#samples canvas").nth(5).evaluate(PIXELS)


def test_a_picture_that_is_dropped_is_reconstructed_scored_and_encoded(page: Page) -> None:
    page.evaluate(DROP, ["#examine .drop", picture()])
    expect(page.locator("#examine figcaption")).to_have_text(["your picture, 40 x 30", "reconstructed"])
    expect(page.locator("#examine tbody tr")).to_have_count(3)
    expect(page.locator("#examine tbody tr").first).to_contain_text(re.compile(r"\d+ %"))
    before = pixels(page, "#codes canvas")
    page.locator("#examine").get_by_role("button", name="Put its code into the sliders").click()
    changes(page, "#codes canvas", before)
    content: Any = {"name": "x.png", "mimeType": "image/png", "buffer": base64.b64decode(picture())}
    page.locator("#path input[type=file]").first.set_input_files(content)
    expect(page.locator("#path figcaption").first).to_have_text("Start: your picture")


def test_a_file_that_is_no_picture_gets_a_sentence(address: str) -> None:
    with visit(address) as found:
        found.page.wait_for_selector("body[data-ready]")
        found.page.evaluate(DROP, ["#examine .drop", base64.b64encode(b"no picture").decode()])
        expect(found.page.locator("#status")).to_contain_text("The file is no picture.")


def test_the_path_leads_from_one_end_to_the_other(page: Page) -> None:
    set_slider(page, "[data-path=position]", 0)
    expect(page.locator("#path figcaption").nth(1)).to_have_text("0 % of the way, spherical")
    start = pixels(page, "#path .end:nth-child(2) canvas")
    set_slider(page, "[data-path=position]", 1)
    changes(page, "#path .end:nth-child(2) canvas", start)
    page.get_by_label("Shape of the path").select_option("A line")
    expect(page.locator("#path figcaption").nth(1)).to_have_text("100 % of the way, linear")


def test_two_pages_do_not_disturb_each_other(address: str) -> None:
    with opened(address) as one:
        browser = one.page.context.browser
        assert browser
        other = browser.new_context().new_page()
        other.goto(address)
        other.wait_for_selector("body[data-ready]")
        start = pixels(other, "#codes canvas")
        for step in range(20):
            set_slider(one.page, "#codes [data-unit]", step / 10)
            set_slider(other, "#codes [data-unit] >> nth=1", step / 10)
        changes(one.page, "#codes canvas", start)
        one.page.get_by_role("button", name="Reset").click()
        other.get_by_role("button", name="Reset").click()
        other.wait_for_timeout(300)
        assert pixels(one.page, "#codes canvas") == pixels(other, "#codes canvas") == start


def test_a_class_changes_the_pictures_of_a_conditional_model(cvae: Run) -> None:
    with served(cvae.path.parent, "run") as (address, _), opened(address) as found:
        page = found.page
        before = pixels(page, "#codes canvas")
        chosen = page.locator("#codes select").input_value()
        page.locator("#codes select").select_option("3" if chosen == "4" else "4")
        changes(page, "#codes canvas", before)
        samples = pixels(page, "#samples canvas")
        page.locator("#samples select").first.select_option("7")
        changes(page, "#samples canvas", samples)
        expect(page.locator("#samples figcaption")).to_have_text(["7"] * 24)
        page.locator("#examine").get_by_role("button", name="Random test item").click()
        expect(page.locator("#examine .classes li")).to_have_count(5)


def test_a_sound_plays(sounds: Path) -> None:
    with served(sounds, "outputs/mine", "--trust") as (address, _), opened(address) as found:
        for number, button in enumerate(found.page.locator("#codes, #map").get_by_role("button", name="Play").all(), 1):
            button.click()
            found.page.wait_for_selector(f"body[data-played='{number}']")


def test_a_picture_is_upscaled_beside_bicubic(tmp_path: Path) -> None:
    small = ["model.width=8", "model.blocks=1", "trainer.steps=2", "trainer.batch_size=4"]
    done = genlab(tmp_path, "train", "model=srresnet", "data=fashion-mini", "run=mine", "trainer=smoke", *small)
    assert done.returncode == 0, done.stderr
    with served(tmp_path, "mine") as (address, _), opened(address) as found:
        page = found.page
        expect(page.locator("#upscale .soft")).to_contain_text("7 x 7 to 28 x 28")
        page.evaluate(DROP, ["#upscale .drop", picture()])
        expect(page.locator("#upscale .soft")).to_have_text("40 x 30 to 160 x 120")
        set_slider(page, "#upscale input[type=range]", 25)
        above = page.locator("#upscale .versus canvas").nth(1)
        assert above.evaluate("canvas => canvas.style.clipPath") == "inset(0px 0px 0px 25%)"
        assert above.evaluate(PIXELS) != pixels(page, "#upscale .versus canvas")


def test_the_page_says_that_the_server_has_stopped(finished: Path) -> None:
    with served(finished, "outputs/mine") as (address, process), visit(address) as found:
        found.page.wait_for_selector("body[data-ready]")
        process.send_signal(signal.SIGINT)
        expect(found.page.locator("#status")).to_contain_text("The server has stopped.")
