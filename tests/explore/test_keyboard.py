"""The page by keyboard alone, on a phone's width and on a desk's: real keys, few of them, and the focus always seen."""

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

VIEWS = ("models", "inside", "space", "compare")
# What has the focus: its name, whether it is marked, in the window, and not under something else
FOCUS = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const drop = one.closest(".drop"), seen = drop ?? one, box = seen.getBoundingClientRect();
  const style = getComputedStyle(seen);
  const marked = drop ? style.backgroundColor !== "rgba(0, 0, 0, 0)" : style.outlineStyle !== "none";
  const x = Math.min(innerWidth - 1, Math.max(0, box.x + box.width / 2));
  const y = Math.min(innerHeight - 1, Math.max(0, box.y + Math.min(box.height / 2, 20)));
  const at = document.elementFromPoint(x, y);
  const group = one.closest(".strip, .chips, .thumbs, .legend, [role=tablist]");
  const name = one.id || one.getAttribute("aria-label") || one.textContent.trim().slice(0, 30) || one.tagName;
  return { name, marked, open: seen.contains(at) || Boolean(at?.contains(seen)),
    group: group && (group.id || group.className || group.getAttribute("aria-label")) };
}"""


def stops(page):
    """What Tab meets from the page's start to its end."""
    page.evaluate("() => { document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0); }")
    page.focus(".skip")
    found = []
    for _ in range(80):
        page.keyboard.press("Tab")
        page.wait_for_timeout(20)
        focus = page.evaluate(FOCUS)
        if focus is None or (found and focus == found[0]):
            return found
        found.append(focus)
    pytest.fail(f"no end of it: {[one['name'] for one in found]}")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("view", VIEWS)
def test_tab_meets_everything_once_and_the_focus_is_seen(open_page, view, width):
    page = open_page(f"view={view}&level=0.3&models=deep,wide,conv&model=wide", width=width, height=844)
    page.wait_for_function("() => !document.querySelector('#compare .busy, #inside .busy')?.textContent")
    page.wait_for_timeout(600)
    found = stops(page)
    names = [one["name"] for one in found]
    assert [one["name"] for one in found if not one["marked"]] == []
    assert [one["name"] for one in found if not one["open"]] == []
    assert names.index(f"tab-{view}") <= (9 if width == 390 else 12), names
    groups = [one["group"] for one in found if one["group"]]
    assert len(groups) == len(set(groups)), groups  # each is one stop
    assert {"copy-link", "show-keys", "kind", "new-draw", "level", "tab-pick"} <= set(names)


@pytest.mark.parametrize("width", [390, 1280])
def test_views_images_noise_and_files_by_keys_alone(open_page, width, tmp_path):
    page = open_page(width=width, height=844)
    press = page.keyboard.press
    page.on("filechooser", lambda _: None)  # from here on: what is asked for only with Enter may come too late for it

    def to(name):
        for _ in range(40):
            if page.evaluate("document.activeElement.id") == name:
                return
            press("Tab")
        pytest.fail(f"Tab does not come to {name}")

    to("copy-link")
    press("Enter")
    page.wait_for_selector("#toast:has-text('link')")
    to("level")
    for _ in range(3):
        press("ArrowRight")
    page.wait_for_function("() => document.getElementById('level-says').textContent === '0.03'")
    to("tab-pick")
    if width == 390:
        assert page.locator("#strip").is_hidden()
        press("Tab")
        press("Enter")
        assert page.get_attribute("#fold", "aria-expanded") == "true"
    page.locator("#strip button[tabindex='0']").wait_for()
    for _ in range(4):
        press("Tab")
        if page.evaluate("Boolean(document.activeElement.closest('#strip'))"):
            break
    press("ArrowRight")
    page.wait_for_selector("#clean-says:has-text('no. 1,')")
    press("ArrowDown")
    columns = page.evaluate("getComputedStyle(document.getElementById('strip')).gridTemplateColumns.split(' ').length")
    page.wait_for_selector(f"#clean-says:has-text('no. {1 + columns},')")
    to("tab-models")
    for view in VIEWS[1:]:
        press("ArrowRight")
        page.wait_for_selector(f"#{view}:not([hidden])")
        assert page.evaluate("document.activeElement.id") == f"tab-{view}"
    press("u")
    page.focus("#tab-upload")
    to("file")
    with page.expect_file_chooser() as chooser:
        press("Enter")
    Image.fromarray(np.full((40, 40), 200, np.uint8)).save(tmp_path / "mine.png")
    chooser.value.set_files(tmp_path / "mine.png")
    page.wait_for_selector("#clean-says:has-text('mine.png')")


@pytest.mark.parametrize("view", VIEWS)
def test_on_a_phone_results_are_near_the_image_and_fingers_meet_what_they_aim_at(open_page, view):
    page = open_page(f"view={view}&level=0.3&model=deep", width=390, height=844, has_touch=True, is_mobile=True)
    page.wait_for_timeout(500)
    top = page.locator(f"#{view} .says").bounding_box()["y"]
    assert top < 560, "it was 870"
    if view == "models":
        assert page.locator(".card .pair >> nth=0").bounding_box()["y"] < 844
    small = page.evaluate("""() => [...document.querySelectorAll("button, select, input, summary")]
      .filter(one => one.checkVisibility() && !one.closest(".says, .drop, label:has(input[type=checkbox])"))
      .map(one => [one.id || one.textContent.trim() || one.className, one.getBoundingClientRect()])
      .filter(([, box]) => box.height < 38 && box.width).map(([name, box]) => `${name}: ${box.height}`)""")
    assert small == []
    page.tap("#tab-draw")  # what is drawn and what comes of it are seen together
    assert page.locator("#pad").is_visible()
    page.tap("#fold")
    assert page.locator("#pad").is_hidden()
