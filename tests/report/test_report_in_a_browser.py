"""A report in Chromium: it opens from disk, asks for nothing, and its controls do what they say."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from genlab.report import report
from tests.fixtures.browser import needs_browser, visit
from tests.report.made_up import NASTY, full_run, sweep

pytestmark = [pytest.mark.slow, needs_browser]


@contextmanager
def opened(path: Path, **screen: int | bool) -> Iterator[Page]:
    """Open a page, and afterwards check that nothing went wrong on it and that it asked for nothing."""
    with visit(path, **screen) as seen:  # type: ignore[arg-type]
        yield seen.page
        assert (seen.errors, seen.foreign(path.resolve().as_uri())) == ([], [])


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = full_run(tmp_path_factory.mktemp("single") / "run", "model.beta=4", name=NASTY)
    return report([str(run)]).path


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = sweep(tmp_path_factory.mktemp("several") / "sweep")
    facts = json.loads((folder / "beta=1.0,seed=1" / "run.json").read_text())
    (folder / "beta=1.0,seed=1" / "run.json").write_text(json.dumps(facts | {"command": NASTY, "device": NASTY}))
    return report([str(folder)]).path


def test_a_report_opens_from_disk_in_every_light_and_width(single: Path, several: Path) -> None:
    for path in (single, several):
        for width, dark in ((1280, False), (1280, True), (390, False)):
            with opened(path, width=width, dark=dark) as page:
                assert page.title() != "broken"
                assert page.locator(".plot canvas").count() > 0
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                sizes = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
                assert sizes
                assert all(sizes)


def test_text_from_runs_makes_no_elements(single: Path, several: Path) -> None:
    for path in (single, several):
        with opened(path) as page:
            assert page.locator("b").count() == 0
            assert NASTY.split()[0][:20] in page.locator("body").inner_text()


def test_curves_are_switched_off_and_drawn_on_a_logarithmic_axis(single: Path) -> None:
    with opened(single) as page:
        chart = page.locator("figure.chart").first
        before = chart.locator("canvas").screenshot()
        train = chart.get_by_role("button", name="Curve train of loss")
        train.focus()
        page.keyboard.press("Enter")
        assert train.get_attribute("aria-pressed") == "false"
        without = chart.locator("canvas").screenshot()
        assert without != before
        train.click()
        log = chart.get_by_role("button", name="Logarithmic axis: loss")
        log.click()
        assert log.get_attribute("aria-pressed") == "true"
        assert page.evaluate("charts[0].plot.scales.y.distr") == 3
        assert chart.locator("canvas").screenshot() != before


def test_the_mouse_and_the_arrow_keys_show_the_values_at_a_step(single: Path) -> None:
    with opened(single) as page:
        chart = page.locator("figure.chart").first
        chart.locator(".plot").focus()
        page.keyboard.press("ArrowRight")
        assert "step 10" in chart.locator(".place").inner_text()
        assert chart.locator("[aria-live]").inner_text() == "step 10: train 95.12"
        assert "95.12" in chart.get_by_role("button", name="Curve train of loss").inner_text()
        box = chart.locator(".u-over").bounding_box()
        assert box
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 20)
        expect(chart.locator(".place")).to_have_text("step 200")


def test_the_slider_changes_the_picture_and_its_caption(single: Path) -> None:
    with opened(single) as page:
        figure = page.locator("figure[data-exhibit]").first
        slider = figure.get_by_role("slider")
        assert figure.locator(".step").inner_text() == "Step 150"
        last = figure.locator("img").get_attribute("src")
        slider.focus()
        page.keyboard.press("Home")
        assert figure.locator(".step").inner_text() == "Step 50"
        assert figure.locator("img").get_attribute("src") != last
        assert slider.get_attribute("aria-valuetext") == "step 50"
        page.keyboard.press("End")
        assert figure.locator("img").get_attribute("src") == last
        sounds = page.locator("audio")
        expect(sounds.first).to_have_js_property("duration", 0.1)


def test_the_table_sorts_by_any_column_both_ways(several: Path) -> None:
    def column(page: Page, number: int) -> list[str]:
        return page.locator("#run-table tbody tr").locator(f":nth-child({number})").all_inner_texts()

    with opened(several) as page:
        psnr = page.locator("#run-table thead th", has_text="PSNR")
        button = psnr.get_by_role("button")
        button.focus()
        page.keyboard.press("Enter")
        assert psnr.get_attribute("aria-sort") == "ascending"
        place = page.evaluate(
            "[...document.querySelectorAll('#run-table th')].findIndex((th) => th.innerText.startsWith('PSNR')) + 1"
        )
        assert column(page, place) == ["11.00", "12.00", "41.00", "★ 42.00"]
        button.click()
        assert psnr.get_attribute("aria-sort") == "descending"
        assert column(page, place) == ["★ 42.00", "41.00", "12.00", "11.00"]
        seed = page.locator("#run-table thead th", has_text="seed")
        seed.get_by_role("button").click()
        assert psnr.get_attribute("aria-sort") == "none"


def test_runs_are_switched_off_coloured_and_found_in_the_scatter_plot(several: Path) -> None:
    with opened(several) as page:
        run = page.get_by_role("button", name="Curves of beta 4.0, seed 2")
        run.click()
        assert page.evaluate("charts[0].plot.series[4].show") is False
        page.get_by_role("button", name="None", exact=True).click()
        assert page.evaluate("charts.every((chart) => chart.plot.series.slice(1).every((one) => !one.show))")
        page.get_by_role("button", name="All", exact=True).click()
        page.get_by_label("Colour by").select_option("model.beta")
        assert page.evaluate("new Set(charts[0].plot.series.slice(1).map((one) => one.stroke())).size") == 2
        page.get_by_label("Across").select_option(label="model.beta")
        page.get_by_label("Up").select_option(label="FD-classifier (lower is better)")
        page.locator("#plane circle").last.hover()
        assert page.locator("#pointed").inner_text() == "beta 4.0, seed 2: model.beta 4, FD-classifier 58"
        page.locator("#run-table").get_by_role("link", name="beta 4.0, seed 2").click()
        assert page.locator("#run-3").get_attribute("open") is not None


def test_paper_is_white_and_shows_the_charts_and_the_tables(single: Path) -> None:
    with opened(single, width=718, dark=True) as page:
        page.emulate_media(media="print")
        page.locator(":root[data-paper]").wait_for(state="attached")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.evaluate("document.querySelector('details[data-paper]').open")
        assert page.evaluate("charts[0].plot.width") == 330
        assert not page.locator("nav").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 718
        page.emulate_media(media="screen")
        page.locator(":root:not([data-paper])").wait_for(state="attached")
        assert page.evaluate("charts[0].plot.width") > 300


def test_a_report_can_be_read_without_scripts(single: Path) -> None:
    from playwright.sync_api import sync_playwright

    from tests.fixtures.browser import CHROMIUM

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(java_script_enabled=False)
        page.goto(single.resolve().as_uri())
        text = page.locator("main").inner_text()
        assert "20.25 ± 0.50" in text
        assert "The curves are drawn by JavaScript; the table has their values." in text
        assert page.locator("figure img").first.is_visible()
        browser.close()
