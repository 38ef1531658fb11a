"""The explorer for every eye: accessible names, focus, width, light and dark, motion, old browsers."""

from pathlib import Path

import pytest
from chromium import Page, opened
from explorer_actions import wait
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys


def test_everything_that_takes_the_focus_has_a_name_and_shows_it(page: Page) -> None:
    page.driver.execute_cdp_cmd("Accessibility.enable", {})
    nodes = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    focusable = [
        node
        for node in nodes
        if not node.get("ignored")
        and node["role"]["value"] != "RootWebArea"
        and any(p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", []))
    ]
    assert len(focusable) > 15
    unnamed = [node["role"]["value"] for node in focusable if not node.get("name", {}).get("value", "").strip()]
    assert unnamed == []
    seen = set()
    page.run("document.activeElement.blur()")
    for _ in range(len(focusable)):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        outlines = page.run(
            "const e = document.activeElement, around = [e, e.closest('label')].filter(Boolean);"
            "return [e.id || e.className || e.name || e.tagName, around.map((x) => getComputedStyle(x).outlineStyle)]"
        )
        if outlines[0] == "BODY":
            break
        seen.add(outlines[0])
        assert "solid" in outlines[1], outlines
    assert {"picture", "matrix", "theme", "truth", "errors", "heat", "labels"} <= {s.split(" ")[0] for s in seen}


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (768, 1024), (390, 844), (320, 600)])
def test_no_text_overlaps_and_nothing_sticks_out(path: Path, width: int, height: int) -> None:
    with opened(path, width, height, "#image=large&x=900&y=40") as page:
        wait(page, "large")
        assert page.run("return document.documentElement.scrollWidth") <= width
        problems = page.run(
            """
            const texts = [];
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            for (let node = walker.nextNode(); node; node = walker.nextNode()) {
              const parent = node.parentElement;
              if (!node.data.trim() || parent.closest(".unseen, script, noscript, option, .axis, #images")) continue;
              const range = document.createRange();
              range.selectNodeContents(node);
              const cut = parent.closest(".name"); // its text goes on where it cannot be seen
              for (const box of cut ? [cut.getBoundingClientRect()] : range.getClientRects()) {
                if (box.width > 0) texts.push({ text: node.data.slice(0, 30), box });
              }
            }
            const found = texts.length < 30 ? ["too few texts"] : [];
            for (let i = 0; i < texts.length; i++) {
              for (let j = i + 1; j < texts.length; j++) {
                const a = texts[i].box, b = texts[j].box;
                const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
                const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
                if (across > 1 && down > 4) found.push([texts[i].text, texts[j].text]);
              }
            }
            return found;
            """
        )
        assert problems == []


def test_light_and_dark(page: Page) -> None:
    def paper() -> tuple[int, ...]:
        color = page.run("return getComputedStyle(document.body).backgroundColor")
        return tuple(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))

    page.prefer(prefers_color_scheme="dark")
    assert max(paper()) < 60
    page.run("const s = document.getElementById('theme'); s.value = 'light'; s.dispatchEvent(new Event('change'))")
    assert min(paper()) > 200
    page.prefer(prefers_color_scheme="light")
    page.run("const s = document.getElementById('theme'); s.value = 'dark'; s.dispatchEvent(new Event('change'))")
    assert max(paper()) < 60


def test_motion_can_be_turned_off(page: Page) -> None:
    script = "return getComputedStyle(document.querySelector('#images img')).transitionDuration"
    page.prefer(prefers_reduced_motion="no-preference")
    assert page.run(script) != "0s"
    page.prefer(prefers_reduced_motion="reduce")
    assert page.run(script) == "0s"


def test_an_old_browser_is_told(path: Path) -> None:
    with opened(path) as page:
        source = {"source": "delete window.DecompressionStream"}
        page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
        page.driver.refresh()
        assert "cannot unpack" in page.driver.find_element(By.ID, "problem").text
