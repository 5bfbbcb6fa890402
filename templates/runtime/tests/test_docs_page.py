"""The documentation page in a real browser, against a real service: what a person sees and does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from service import MAPPER, TOKEN, Service, Web

from cu.testing import eventually

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def web(cu_redis: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    service = Service(tmp_path_factory.mktemp("docs"), cu_redis)
    service.worker()
    yield service.web()
    service.stop()


@pytest.fixture
def page(web: Web, tmp_path: Path) -> Iterator[Browser]:
    """The page as it is when it was opened and its list has loaded."""
    with Browser(tmp_path / "profile") as browser:
        browser.open(f"{web.url}/docs")
        eventually(lambda: browser.text("#count") == "18 functions")
        yield browser


def at(name: str, rest: str = "") -> str:
    """A selector within the part of a function."""
    return f"[id='call-tasks.{name}'] {rest}"


def unfold(page: Browser, name: str) -> None:
    page.click(f"nav a[href='#call-tasks.{name}']")
    eventually(lambda: page.evaluate(f'document.querySelector("{at(name)}").open'))


def state(page: Browser, name: str) -> str:
    return page.text(at(name, ".state"))


def test_the_page_shows_a_function_with_its_arguments_types_defaults_and_help(page: Browser, tmp_path: Path) -> None:
    unfold(page, "add")

    seen = page.text(at("add"))
    assert page.text("h1") == "Terrain, tile by tile"
    for text in (
        "tasks.add",
        "Add two numbers.",
        "Returns integer.",
        "integer, required",
        "integer, default 2",
    ):
        assert text in seen
    for text in ("the first one", "the second one, which may be left out", "Try it out"):
        assert text in seen
    assert "tasks.internal" not in page.text("body")
    assert len(page.screenshot(tmp_path / "page.png")) > 20_000
    assert page.messages == []


def test_try_it_out_returns_a_result_and_then_says_that_it_was_cached(page: Browser) -> None:
    page.fill("#token", TOKEN)
    unfold(page, "add")
    page.fill("[id='call-tasks.add-left']", "40")

    page.click(at("add", "button[type=submit]"))

    eventually(lambda: state(page, "add").startswith("Done in"))
    assert page.text(at("add", ".result pre")) == "42"
    assert "Download result.json (2 B, application/json)" in page.text(at("add", ".result"))
    page.click(at("add", "button[type=submit]"))
    eventually(lambda: state(page, "add").endswith("from the cache"))
    assert page.messages == []


def test_progress_and_log_of_a_running_call_are_shown(page: Browser) -> None:
    page.fill("#token", TOKEN)
    unfold(page, "count_up")
    page.fill("[id='call-tasks.count_up-to']", "7")

    page.click(at("count_up", "button[type=submit]"))

    eventually(lambda: "%" in state(page, "count_up") and "running · " in state(page, "count_up"))
    assert page.evaluate(f'document.querySelector("{at("count_up", "progress")}").value') > 0
    eventually(lambda: "Done" in state(page, "count_up"))
    assert "line 6" in page.text(at("count_up", "pre[aria-label=Log]"))
    assert page.text(at("count_up", ".result pre")) == "7"


def test_a_running_call_can_be_cancelled(page: Browser, tmp_path: Path) -> None:
    page.fill("#token", TOKEN)
    unfold(page, "wait_for")
    page.fill("[id='call-tasks.wait_for-path']", str(tmp_path / "never"))
    page.click(at("wait_for", "button[type=submit]"))
    eventually(lambda: "running" in state(page, "wait_for"))

    page.click(at("wait_for", ".actions button[type=button]"))

    eventually(lambda: state(page, "wait_for") == "Failed (410): the job was cancelled: there is no result")


def test_a_file_is_uploaded_with_a_call(page: Browser, tmp_path: Path) -> None:
    region = tmp_path / "region.tif"
    region.write_bytes(b"x" * 321)
    page.fill("#token", TOKEN)
    unfold(page, "length")
    page.choose_file("[id='call-tasks.length-region']", region)
    page.fill("[id='call-tasks.length-factor']", "2")

    page.click(at("length", "button[type=submit]"))

    eventually(lambda: "Done" in state(page, "length"))
    assert page.text(at("length", ".result pre")) == "642"
    command = page.evaluate(f'document.querySelector("{at("length", ".outcome > details pre")}").textContent')
    assert "-F 'region=@region.tif'" in command


def test_choices_switches_and_json_are_fields_of_their_own(page: Browser) -> None:
    page.fill("#token", TOKEN)
    unfold(page, "relief")
    assert "shade" in page.text(at("relief"))
    assert 'one of "light", "dark", required' in page.text(at("relief"))
    assert "array of Sun or null, default null" in page.text(at("relief"))
    page.fill("[id='call-tasks.relief-sun']", '{"azimuth": 315}')
    page.fill("[id='call-tasks.relief-more']", '[{"azimuth": 1}, {"azimuth": 2}]')
    for name in ("shade", "smooth"):
        page.evaluate(f"document.getElementById('call-tasks.relief-{name}').selectedIndex = 1")

    page.click(at("relief", "button[type=submit]"))

    eventually(lambda: "Done" in state(page, "relief"))
    assert page.text(at("relief", ".result pre")) == '"315 45 dark True 2"'


def test_what_is_wrong_is_said_in_words(page: Browser) -> None:
    unfold(page, "restricted")
    page.click(at("restricted", "button[type=submit]"))
    eventually(lambda: "Failed (401): a token is needed" in state(page, "restricted"))

    page.fill("#token", MAPPER)
    page.click(at("restricted", "button[type=submit]"))
    eventually(lambda: "Done" in state(page, "restricted"))

    unfold(page, "echo")
    page.fill("[id='call-tasks.echo-value']", "{not json")
    page.click(at("echo", "button[type=submit]"))
    eventually(lambda: "value is not JSON" in state(page, "echo"))

    unfold(page, "fail")
    page.click(at("fail", "button[type=submit]"))
    eventually(lambda: state(page, "fail") == "Failed (500): tasks.fail failed: it is broken")


def test_what_a_function_returns_is_never_run_as_part_of_the_page(page: Browser) -> None:
    page.fill("#token", TOKEN)
    unfold(page, "echo")
    page.fill("[id='call-tasks.echo-value']", '"<img src=x onerror=document.title=1>"')

    page.click(at("echo", "button[type=submit]"))

    eventually(lambda: "Done" in state(page, "echo"))
    assert page.text(at("echo", ".result pre")) == '"<img src=x onerror=document.title=1>"'
    assert page.evaluate("document.title") == "Terrain, tile by tile"
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    assert page.evaluate("window.ran ?? null") is None


def test_functions_are_found_by_name_and_by_what_they_do(page: Browser) -> None:
    page.fill("nav input", "two numbers")

    eventually(lambda: page.text("#index") == "tasks.add")
    assert page.evaluate("[...document.querySelectorAll('details.call')].filter((one) => !one.hidden).length") == 1


def test_every_field_has_a_label_and_help_and_every_text_enough_contrast(page: Browser) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    fields = "[...document.querySelectorAll('main input, main select, main textarea')]"
    unnamed = f"{fields}.filter((one) => !one.labels.length"
    assert page.evaluate(f"{unnamed} || !document.getElementById(one.getAttribute('aria-describedby'))).length") == 0

    for scheme in ("light", "dark"):
        page.prefer(scheme)
        assert page.evaluate(CONTRAST) >= 4.5, scheme


CONTRAST = """
var texts = document.querySelectorAll('main label, main small, main .dim, main p, header p, nav a, button');
Math.min(...[...texts].map((one) => {
  const luminance = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).map(Number).map((c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let back = one;
  while (getComputedStyle(back).backgroundColor === 'rgba(0, 0, 0, 0)') back = back.parentElement;
  const pair = [luminance(getComputedStyle(one).color), luminance(getComputedStyle(back).backgroundColor)];
  return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}))
"""
