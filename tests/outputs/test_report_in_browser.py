"""The claim report in a real browser, at the width of a desk and of a phone."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest
from selenium.common import WebDriverException

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.outputs.report.allure import run_allure
from mechanistic_claims.outputs.report.judged import JudgedRun, read_run
from mechanistic_claims.verdict.record import Heading
from mechanistic_claims.verdict.verdict import number
from models.min_of_two import FAMILY
from tests.conftest import DIFFERENT
from tests.outputs.browser import Page, luminance, programs, served_slowly
from tests.outputs.test_report import report

pytestmark = pytest.mark.slow
PARTS = ("behavior", "qk_circuit", "interventions")
WIDTHS = {"desk": (1400, 900), "phone": (390, 844)}
FRAME = "iframe[data-testid=test-result-description-frame]"


@pytest.fixture(scope="module")
def made(run_claims, tmp_path_factory) -> tuple[Path, JudgedRun]:
    """A report of two checkpoints, one of which refutes claims; and the run that it is of."""
    programs()
    folder = tmp_path_factory.mktemp("browser")
    try:
        run_allure(None, "--version", folder=folder)
    except CannotJudge as error:
        pytest.skip(f"no report is made here: {error}")
    run_claims(
        *(f"claims/min_of_two/test_{part}.py" for part in PARTS),
        f"--alluredir={folder}/results",
        *("--checkpoint", FAMILY.reference, "--checkpoint", DIFFERENT),
    )
    done = report(folder / "results", "--out", folder / "claims.html")
    assert done.returncode == 0, done.stderr
    return folder / "claims.html", read_run(folder / "results")


@pytest.fixture
def opened(made):
    """Open the report at a width; all that was opened is closed in the end."""
    pages: list[Page] = []

    def opened(width: str = "desk", fragment: str = "", dark: bool = False) -> Page:
        pages.append(Page(made[0], *WIDTHS[width], dark))
        if fragment:
            pages[-1].open(f"{made[0].as_uri()}#{fragment}")
        return pages[-1]

    yield opened
    for page in pages:
        page.browser.quit()


@pytest.fixture(params=WIDTHS)
def width(request) -> str:
    return request.param


def test_it_opens_quietly_and_alone(opened, made, width):
    page = opened(width)
    page.wait("return document.readyState === 'complete'", "it is loaded")
    time.sleep(1)
    assert page.requests() == [made[0].as_uri()]
    assert page.errors() == []
    loaded = "return [...document.images].every((image) => image.naturalWidth > 100)"
    page.wait(loaded, "the pictures of the first page are shown")


def test_the_browser_refuses_the_network(opened):
    page = opened()
    page.run("return fetch('http://127.0.0.1:8/').catch(() => {})")
    refused = [error for error in page.errors() if "127.0.0.1:8" in error]
    assert refused
    assert all("Content Security Policy" in error for error in refused)


def test_the_first_page_tells_the_story(opened, made, width):
    page, run = opened(width), made[1]
    text = str(page.run("return document.querySelector('#first-page').innerText"))
    assert "What was selected of the story holds of 1 of 2 checkpoints." in text
    for sentence in ("'=' attends to the smaller operand.", "The OV circuit copies"):
        assert sentence in text
    cells = page.run("return document.querySelectorAll('#first-page .cell').length")
    assert cells == len(run.claims)
    overflow = "return document.documentElement.scrollWidth - window.innerWidth"
    assert page.run(overflow) == 0, "nothing is wider than the window"
    assert page.run("return getComputedStyle(document.querySelector('#app')).display") == "none"


def test_the_keys_are_the_browsers_on_the_first_page_and_back(opened):
    """Allure listens to keys wherever it is."""
    from selenium.webdriver.common.keys import Keys

    page = opened()

    def press_enter_on(selector: str) -> None:
        page.run("document.querySelector(arguments[0]).focus()", selector)
        page.browser.switch_to.active_element.send_keys(Keys.ENTER)

    press_enter_on("#first-page summary")
    page.wait("return document.querySelector('#first-page details').open", "the rest is unfolded")
    press_enter_on("#first-page .evidence a")
    page.wait("return document.documentElement.dataset.page === 'allure'", "a claim is shown")
    press_enter_on("#to-first-page")
    page.wait("return document.documentElement.dataset.page === 'first'", "the first page is")


def test_the_tree_has_every_claim(opened, made, width):
    page, run = opened(width, "/"), made[1]
    shown = (
        "document.querySelectorAll('[data-testid=tree-section], [data-testid=tree-leaf]').length"
    )
    page.wait(f"return {shown} > 1", "there is a tree, opened to the parts of the story")
    open_the_closed = f"""
        const closed = [...document.querySelectorAll("[data-testid=tree-section]")].filter(
          (section) => {{
            const group = section.parentElement;
            return !group.querySelector("[data-testid=tree-leaf]") &&
              group.querySelectorAll("[data-testid=tree-section]").length === 1;
          }});
        const before = {shown};
        closed.forEach((section) => section.querySelector("[data-testid=tree-arrow]").click());
        return closed.length ? before : 0"""
    while before := page.run(open_the_closed):
        page.wait(f"return {shown} > {before}", "what was closed is open")
    names = page.run(
        "return [...document.querySelectorAll('[data-testid=tree-leaf-title]')]"
        ".map((leaf) => leaf.innerText)"
    )
    assert names == [claim.sentence for claim in run.claims]
    groups = page.run(
        "return [...document.querySelectorAll('[data-testid=tree-section-title]')]"
        ".map((title) => title.innerText)"
    )
    parts = ["1. behavior", "2. qk circuit", "3. interventions"]
    told_apart = [name for path in (FAMILY.reference, DIFFERENT) for name in (path.name, *parts)]
    assert groups == ["min_of_two", *told_apart], "no file of claims is named"


def test_a_report_that_arrives_slowly_is_whole(opened, made):
    """Allure's program runs before the data that it shows."""
    page, run = opened(), made[1]
    with served_slowly(made[0], before=b"<script async>") as address:
        page.open(f"{address}#/")
        page.wait("return document.querySelector('[data-testid=tree-section]')", "there is a tree")
        page.open(f"{address}#{run.claims[0].page}")
        page.wait(f"return document.querySelector('{FRAME}')", "the claim's page is open")
    assert page.errors() == []


def test_a_refuted_claim_shows_its_counterexamples_and_picture(opened, made, width):
    page, run = opened(width), made[1]
    claim = next(claim for claim in run.claims if claim.heading is Heading.REFUTED)
    page.click(f"#first-page .list a[href='#{claim.page}']")
    page.wait(f"return document.querySelector('{FRAME}')", "the claim's page is open")
    page.wait(
        f"const frame = document.querySelector('{FRAME}');"
        "const image = frame.contentDocument.querySelector('img[data-picture]');"
        "return image && image.naturalWidth === 600",
        "its picture is shown",
    )
    text = str(page.run(f"return document.querySelector('{FRAME}').contentDocument.body.innerText"))
    measured = number(claim.record.verdict.measured)
    for said in (claim.told.sentence, "refuted", measured, "How it was"):
        assert said in text
    for exception in claim.exceptions[:20]:
        assert exception.replace(",", ", ") in text
    wide, high, inside = page.run(
        f"const frame = document.querySelector('{FRAME}'); const root = frame.contentDocument;"
        "const right = (element) => element.getBoundingClientRect().right;"
        "return [Math.max(...[...root.body.querySelectorAll('*')].map(right)) - frame.clientWidth,"
        " frame.clientHeight,"
        " root.body.getBoundingClientRect().height]"
    )
    assert wide <= 0, "it fits the width"
    assert high >= inside - 1, "nothing of it is cut off"
    assert page.run("return document.body.innerText").count("exceptions.csv")
    assert page.errors() == []
    page.click("#to-first-page")
    page.wait("return document.documentElement.dataset.page === 'first'", "it leads back")


def test_known_refutations_are_a_category_of_their_own(opened, made):
    page, run = opened("desk", "/"), made[1]
    page.click("[data-testid=nav-tab-categories]")
    text = page.wait(
        "const text = document.querySelector('#app').innerText;"
        "return text.includes('Refuted, as expected') && text",
        "they are a category",
    )
    assert "Refuted\n" in str(text)
    found = [c.page for c in run.claims if c.heading is Heading.REFUTED_AS_EXPECTED]
    page.open(f"{made[0].as_uri()}#{found[0]}")
    page.wait(
        "return document.body.innerText.includes('Category: Refuted, as expected')",
        "a claim names its category",
    )


@pytest.mark.parametrize("dark", [False, True])
def test_it_can_be_read_in_the_light_and_in_the_dark(opened, dark):
    page = opened(dark=dark)
    page.wait("return document.documentElement.dataset.theme", "the theme is known")
    for selector in ("h1", "p", ".numbers", ".kind", ".mark"):
        colors = page.run(
            "return [document.querySelector(`#first-page ${arguments[0]}`),"
            " document.querySelector('#first-page')].map((element, at) =>"
            " getComputedStyle(element)[at ? 'backgroundColor' : 'color'])",
            selector,
        )
        ink, paper = (luminance(color) for color in colors)
        assert (paper < 0.1) is dark
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 4.5, (selector, colors)


def test_the_first_page_stands_without_a_script(opened, made):
    """Nothing lies over it, its pictures are there, and no link leads where nothing is."""
    page = opened()
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    page.command("Page.navigate", url=made[0].as_uri())
    time.sleep(1)
    document = page.command("DOM.getDocument", depth=-1)["root"]["nodeId"]

    def box(selector: str) -> list[float]:
        node = page.command("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        return page.command("DOM.getBoxModel", nodeId=node)["model"]["content"]

    left, top, right, _, _, bottom, *_ = box("#first-page h1")
    seen = page.command(
        "DOM.getNodeForLocation", x=int(left + right) // 2, y=int(top + bottom) // 2
    )
    above = page.command("DOM.describeNode", backendNodeId=seen["backendNodeId"])["node"]
    assert above["nodeName"] in ("H1", "#text"), "nothing hides it"
    for hidden in ("#app", "#to-first-page"):
        with pytest.raises(WebDriverException, match="box model"):
            box(hidden)
    left, top, right, *_ = box("#first-page article img")
    assert right - left > 200
    link = page.command("DOM.querySelector", nodeId=document, selector="#first-page .list a")
    styles = page.command("CSS.enable") or page.command(
        "CSS.getComputedStyleForNode", nodeId=link["nodeId"]
    )
    found = {one["name"]: one["value"] for one in styles["computedStyle"]}
    assert found["pointer-events"] == "none"


def test_it_can_be_printed_from_the_dark(opened):
    """White, whole, and unfolded."""
    page = opened(dark=True)
    page.wait("return document.documentElement.dataset.theme === 'dark'", "it is dark")
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    page.command("Emulation.setEmulatedMedia", media="print", features=[dark])
    paper, ink = page.run(
        "const style = getComputedStyle(document.querySelector('#first-page'));"
        "return [style.backgroundColor, style.color]"
    )
    assert (luminance(paper), luminance(ink)) == (1, 0)
    cut = page.run(
        "return [...document.querySelectorAll('#first-page .scroll')]"
        ".map((one) => one.scrollHeight - one.clientHeight)"
    )
    assert set(cut) == {0}
    folded = "return document.querySelectorAll('#first-page details:not([open])').length"
    assert page.run(folded)
    page.command("Page.printToPDF")
    assert not page.run(folded)


def test_it_is_read_in_an_order_and_by_names(opened):
    """As a screen reader has it: headings by level, words for marks, pictures and cells."""
    page = opened()
    found: dict[str, list[str]] = {}
    for node in page.command("Accessibility.getFullAXTree")["nodes"]:
        if not node.get("ignored"):
            name = node.get("name", {}).get("value", "")
            found.setdefault(node["role"]["value"], []).append(name)
    levels = page.run(
        "return [...document.querySelectorAll('#first-page :is(h1, h2, h3, h4)')]"
        ".map((heading) => Number(heading.tagName[1]))"
    )
    assert levels[0] == 1
    assert max(after - before for before, after in pairwise(levels)) == 1
    assert "" not in found["image"], found["image"]
    assert (
        f"QK circuit, row of =: picture of what is measured of {DIFFERENT.name}" in found["image"]
    )
    assert "LayoutTable" not in found
    cells = "return document.querySelectorAll('#first-page .cell:not(details *)').length"
    assert sum("margin " in name for name in found["link"]) == page.run(cells) > 0
    assert any(name.startswith("refuted: ") for name in found["link"])
    assert {"claim", "A", "B", "keeps its bound on"} <= set(found["columnheader"])
    assert "The row of '=' has 2.0 times the range of any other row." in found["rowheader"]


def test_a_model_can_be_pointed_at(opened):
    page = opened(fragment="model-1")
    page.wait("return document.documentElement.dataset.page === 'first'", "it is the first page")
    assert page.errors() == []


def test_a_claim_is_not_said_to_have_no_steps(opened, made):
    for claim in (made[1].claims[0], next(c for c in made[1].claims if not c.exceptions)):
        page = opened(fragment=claim.page)
        page.wait(f"return document.querySelector('{FRAME}')", "the claim's page is open")
        time.sleep(1)
        assert "No test steps" not in page.run("return document.body.innerText")
