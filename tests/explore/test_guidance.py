"""What the page tells a person, and where: claims that hold, effects in sight, no stale words. In a browser."""

import json
import re

import pytest

from isthmus.explore.answers import reconstructions
from isthmus.explore.answers.wire import Query
from isthmus.explore.shelf_loader import open_shelf
from isthmus.metrics import mean_of

pytestmark = pytest.mark.slow

OUT = '[aria-label="The code, decoded"]'


def says(page, view):
    """The sentence on top of a view."""
    return page.text_content(f"#{view} .says")


def wait_for_saying(page, view, text):
    """Wait until the sentence holds the text."""
    page.wait_for_function(
        "([view, text]) => document.querySelector(`#${view} .says`).textContent.includes(text)", arg=[view, text]
    )


def card(page, name):
    """The card of a model."""
    return page.locator(".card", has=page.locator(f'h3 .name:text-is("{name}")'))


def is_in_sight(page, selector):
    """Whether all of an element is in the window."""
    box, size = page.locator(selector).bounding_box(), page.viewport_size
    inside = box["y"] >= 0 and box["y"] + box["height"] <= size["height"]
    return inside and box["x"] >= 0 and box["x"] + box["width"] <= size["width"]


def slide(page, value):
    """Move the slider of the noise, and wait for the pictures."""
    before = page.text_content("#noisy-says")
    page.eval_on_selector("#level", f"one => {{ one.value = {value}; one.dispatchEvent(new Event('input')); }}")
    page.wait_for_function("before => document.querySelector('#noisy-says').textContent !== before", arg=before)


def focused(page):
    """What has the focus: an id, or the element's name."""
    return page.evaluate("document.activeElement.id || document.activeElement.tagName")


def test_a_search_is_not_ranked_before_it_has_ended(open_page):
    page = open_page("level=0.7&models=deep,wide,prior&sort=error")
    page.wait_for_selector("text=/\\d+ steps/")
    assert "so far" not in says(page, "models")
    assert card(page, "prior").locator(".rank").text_content() in ("best", "1st", "2nd", "3rd")
    page.route("**/api/search**", lambda route: None)  # which is never answered
    slide(page, 55)
    page.wait_for_function("() => document.querySelector('.card:last-child .name').textContent === 'prior'")
    assert "so far" in says(page, "models")
    assert "prior is still searching" in says(page, "models")
    assert page.text_content("#models .says b") != "prior"
    assert card(page, "prior").locator(".rank").text_content() == ""
    assert card(page, "prior").locator(".mse").text_content() == "–"


def test_a_search_that_breaks_off_is_waited_for_no_longer(open_page, faults):
    page = open_page("level=0.7&models=deep,prior")
    page.route("**/api/search**", lambda route: route.fulfill(status=200, body=b""))
    slide(page, 55)
    page.wait_for_selector("text=the search was interrupted")
    assert "so far" not in says(page, "models")
    page.route("**/api/search**", lambda route: None)  # never answered
    slide(page, 60)  # and the next one is waited for again
    assert "so far" in says(page, "models")
    assert card(page, "prior").locator(".tags").text_content() == "will search"


def test_what_has_no_code_says_so_instead_of_showing_another_model(open_page):
    page = open_page("view=inside&model=wide")
    page.wait_for_selector(f"{OUT}:visible")
    for name, reason in (("prior", "searches for the code"), ("nothing", "has no code")):
        for view in ("inside", "space"):
            page.evaluate(f"location.hash = 'view={view}&model={name}'")
            wait_for_saying(page, view, f"{name} cannot be inspected")
            assert reason in says(page, view)
            assert page.locator(f"#{view} canvas:visible").count() == 0
            assert page.eval_on_selector(f"#{view} select", "one => one.value") == name
    page.evaluate("location.hash = 'view=models'")
    page.wait_for_selector(".card")
    assert card(page, "prior").locator("button").count() == card(page, "nothing").locator("button").count() == 0
    page.evaluate("location.hash = 'view=inside&model=deep'")
    wait_for_saying(page, "inside", "deep turns this image into 5 numbers")
    page.wait_for_selector(f"{OUT}:visible")


def test_a_choice_of_models_is_named_wherever_it_counts(open_page):
    page = open_page("level=0.7&models=deep,wide")
    assert "of the 2 chosen models" in says(page, "models")
    page.click("text=/Which is best on \\d+ test images/")
    wait_for_saying(page, "compare", "of the 2 chosen models")
    page.evaluate("location.hash = 'level=0.7&models=*'")
    page.wait_for_function("() => !document.querySelector('#models .says').textContent.includes('chosen')")


@pytest.mark.parametrize("view", ["models", "compare"])
def test_a_best_model_is_told_by_what_others_have_not(open_page, view):
    page = open_page(f"view={view}&level=0.3&models=pca-4,wide,deep")
    wait_for_saying(page, view, "Not like for like: pca-4 keeps 4 numbers and was trained on clean images.")
    page.evaluate(f"location.hash = 'view={view}&level=0.3&models=deep,pca-4'")
    wait_for_saying(page, view, "Not like for like: pca-4 keeps 4 numbers. ")
    page.evaluate(f"location.hash = 'view={view}&level=0&models=deep,prior'")
    wait_for_saying(page, view, {"models": "prior reconstructs this image best", "compare": "prior is best"}[view])
    assert "Not all" not in says(page, view), "as many numbers, and both of clean images"


def test_models_that_had_the_test_images_are_marked_and_not_ranked_with_others(open_page, own_run, serve):
    """The two that are best at this level: as if one were fitted on these images, and one chosen by them."""
    names = ("deep", "wide", "pca-4", "conv")
    opened = open_shelf(own_run)
    errors = {name: reconstructions.errors(opened, Query({"model": name}), b"")[0] for name in names}
    at = list(errors["deep"]["level"]).index(0.7)
    best, second, third, last = sorted(names, key=lambda name: errors[name]["mse"][at])
    results = own_run / "results.json"
    table = json.loads(results.read_text("utf-8"))
    for row in table["rows"]:
        if row["split"] == "test":
            row["seen"], row["selected"] = row["model"] == best, row["model"] == second
    results.write_text(json.dumps(table), "utf-8")
    with serve(open_shelf(own_run)) as address:
        page = open_page(f"view=compare&level=0.7&models={','.join(names)}", at=address)
        page.wait_for_function("() => document.querySelectorAll('#compare tbody tr').length === 4")
        wait_for_saying(page, "compare", f"{best} (has seen the test images)")
        assert page.text_content("#compare .says b >> nth=0") == third
        assert "of the 2 that are ranked" in says(page, "compare")
        assert f"{second} (selected on the test images)" in says(page, "compare")
        for place in ("#compare tbody th .warn", ".legend .warn"):
            marks = page.locator(place).all_text_contents()
            assert sorted(marks) == ["has seen the test images", "selected on the test images"]
        bold = page.locator("#compare tr", has=page.locator("td.here.least")).locator("th").all_text_contents()
        assert bold == [third]
        page.wait_for_selector("#compare p:has-text('the best model at each level of those that are ranked')")
        page.evaluate(f"location.hash = 'level=0.7&models={','.join(names)}'")
        wait_for_saying(page, "models", "Not ranked: ")
        named = page.text_content("#models .says b")
        assert named in (third, last)
        assert {card(page, name).locator(".rank").text_content() for name in (best, second)} == {""}
        assert card(page, named).locator(".rank").text_content() == "best"
        # of the one alone that chose its epoch by them there is nothing better to say
        page.evaluate(f"location.hash = 'view=compare&level=0.7&models={best},{second}'")
        wait_for_saying(page, "compare", f"{second} was selected on the test images: expect larger errors on new ones.")
        assert says(page, "compare").startswith(f"{second} at σ 0.7: MSE")
        page.evaluate(f"location.hash = 'view=compare&level=0.7&models={third},{last}'")
        wait_for_saying(page, "compare", "of the 2 chosen models")
        assert "selected" not in says(page, "compare")
        page.goto("about:blank")


def test_nothing_is_called_best_where_nothing_helps(open_page):
    page = open_page("level=0.02&models=*")
    wait_for_saying(page, "models", "No model improves this image")
    assert page.locator(".card.best").count() == 0
    assert page.locator(".worse.shown").count() >= 6
    slide(page, 90)
    page.wait_for_selector("#models .says b:visible")
    assert "improves" not in says(page, "models")
    assert card(page, page.text_content("#models .says b")).locator(".worse.shown").count() == 0
    page.evaluate("location.hash = 'view=compare&level=0.1&models=deep,wide'")
    wait_for_saying(page, "compare", "None of the 2 chosen models beats the noisy image itself at σ 0.1")
    assert "chance" not in says(page, "compare")
    column = "tr :nth-child(3)"  # σ 0.1
    assert page.text_content(f"#compare thead {column}") == "0.1"
    assert page.locator(f"#compare {column}.least").count() == 0
    page.wait_for_selector("#compare p:has-text('Where none is, none beats the noisy images')")
    page.evaluate("location.hash = 'view=compare&level=0.1&models=deep,wide,nothing'")
    page.wait_for_selector("#compare p:has-text('Where it is nothing, none beats the noisy images')")
    assert (
        page.locator("#compare tr", has=page.locator("td:nth-child(3).least")).locator("th").text_content() == "nothing"
    )
    wait_for_saying(page, "compare", "None of the 2 chosen models beats")  # what does nothing is not one of them


def test_a_comparison_says_what_is_measured_and_what_is_equal(open_page):
    page, held = open_page(), []

    def answer(route):
        """The first question is never answered; later ones get another model's errors, so it is compared to itself."""
        held.append(route)
        if len(held) > 1:
            route.continue_(url=route.request.url.replace("=conv", "=wide"))

    page.route("**/api/errors?model=conv&**", answer)
    page.evaluate("location.hash = 'view=compare&level=0.73&models=deep,conv,pca-4'")
    wait_for_saying(page, "compare", "so far (2 of 3 measured)")
    assert "The measured level nearest to σ 0.73 is 0.7" in says(page, "compare")
    page.evaluate("location.hash = 'view=compare&level=0.7&models=conv,wide'")
    wait_for_saying(page, "compare", "About equal at σ 0.7")
    assert page.locator("#compare .says b").all_text_contents() == ["wide", "conv"]
    assert "360 test images; compared image by image, the difference may be due to chance" in says(page, "compare")


def test_models_are_compared_image_by_image(open_page, shelf):
    """Every image is as hard for one model as for the other, so intervals may overlap where the images agree."""
    named = ("deep", "wide", "pca-4", "pca-4-2")
    found = {name: reconstructions.errors(shelf, Query({"model": name}), b"")[0] for name in (*named, "nothing")}
    page, helped = open_page("view=compare"), 0
    for at, level in enumerate(found["nothing"]["level"]):
        first, *others = sorted(named, key=lambda name: found[name]["mse"][at])
        if found["nothing"]["mse"][at] < found[first]["mse"][at]:
            continue  # then none is best
        lags = {name: mean_of(found[name]["each"][at] - found[first]["each"][at]) for name in others}
        equal = [name for name in others if lags[name].ci95[0] <= 0]
        page.evaluate(f"location.hash = 'view=compare&level={level}&models={','.join(named)}'")
        expected = "About equal" if equal else "is best of the 4 chosen models"
        wait_for_saying(page, "compare", f"{expected} at σ {level:g}")
        assert page.text_content("#compare .says b >> nth=0") == first
        assert says(page, "compare").count("and 1 more") == (len(equal) == 2)
        helped += any(found[name]["low"][at] <= found[first]["high"][at] for name in set(others) - set(equal))
    assert helped


def test_a_line_is_brought_out_from_its_name_and_from_the_chart(open_page):
    page = open_page("view=compare&level=0.3&models=pca-4,wide")
    page.wait_for_function("() => document.querySelectorAll('#compare tbody tr').length === 2")
    plain = page.eval_on_selector("#compare canvas.plot", "one => one.toDataURL()")
    page.focus('[data-line="wide"]')
    assert re.search(r"wide at σ 0.3: MSE [\d.]+, 95 % interval", page.text_content(".read"))
    assert page.eval_on_selector("#compare canvas.plot", "one => one.toDataURL()") != plain
    page.focus("#kind")
    assert "click in the chart to set the noise" in page.text_content(".read")
    box = page.locator("#compare canvas.plot").bounding_box()
    for share in range(20):  # down the chart, until a line is met
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * share / 20)
        if "95 % interval" in page.text_content(".read"):
            break
    assert page.locator(".legend .lit").count() == 1
    page.mouse.click(box["x"] + box["width"] - 14, box["y"] + box["height"] / 2)
    page.wait_for_function("() => document.getElementById('level-says').textContent === '1'")


def test_photons_fall_from_none_to_few(open_page):
    page = open_page("view=compare&kind=poisson&level=10&models=wide,nothing")
    page.wait_for_selector("#compare p:has-text('Fewer photons mean more noise; the left end is no noise')")
    assert page.text_content("#level-says") == "10 photons"
    assert page.locator("#falls").is_visible()
    out, panel = page.locator("#level-says").bounding_box(), page.locator(".noise").bounding_box()
    assert out["x"] + out["width"] <= panel["x"] + panel["width"]
    assert page.eval_on_selector("#level-says", "one => one.scrollWidth <= one.clientWidth")
    assert page.text_content("#compare th >> nth=1") == "none"
    box = page.locator("#compare canvas.plot").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.06, box["y"] + box["height"] / 2)
    page.wait_for_function("() => document.getElementById('level-says').textContent === 'none'")


def test_what_is_set_by_hand_is_said_and_undone_over_new_images(open_page):
    page = open_page("view=inside&model=deep&unit=1&code=1:3.5")
    wait_for_saying(page, "inside", "1 set by hand")
    assert "all of them are on" in says(page, "inside")
    page.evaluate("location.hash = 'view=inside&model=deep&unit=1&code=1:0'")
    wait_for_saying(page, "inside", "4 of them are on. 1 set by hand")  # the code as it is now
    assert "the other views do not use it" in page.text_content("#inside .code")
    assert "Grey behind a bar" in page.text_content("#inside .code")
    assert page.locator("#inside .code .scale").is_hidden()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("text=test image no. 1,")
    assert "1 set by hand" in says(page, "inside")
    assert "keeps its value for every image" in page.text_content("#inside .code")
    page.click("#inside .says button:text-is('Undo')")
    page.wait_for_function("() => !location.hash.includes('code=')")
    assert page.locator("#inside .hand").is_hidden()


def test_effects_are_in_sight_of_what_causes_them(open_page):
    page = open_page("view=inside&model=wide", height=800)
    page.wait_for_selector("#inside .thumbs button")
    assert is_in_sight(page, OUT)
    assert is_in_sight(page, '#inside .unit input[type="range"]')
    page.keyboard.press("3")
    page.wait_for_selector("text=/360 test images by their codes/")
    page.wait_for_selector("text=at this image")  # nobody points yet
    box = page.locator("#space canvas.plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.4)
    page.wait_for_selector("text=under the pointer")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6, steps=3)
    page.mouse.up()
    page.wait_for_function("() => location.hash.includes('to=')")
    page.wait_for_timeout(500)
    assert is_in_sight(page, ".films")
    assert page.evaluate("scrollY") == 0  # or the next click would miss


def test_a_walk_can_be_read_stopped_and_cleared(open_page):
    page = open_page("view=space&model=deep&level=0.3")
    wait_for_saying(page, "space", "The small ring is this image without its noise")
    clear = page.locator("#space button:text-is('Clear')")
    assert clear.is_disabled()
    page.click("text=Random walk")
    page.wait_for_selector("text=on the walk")
    stop = page.locator("text=Stop")
    stop.hover()
    colours = stop.evaluate("one => [getComputedStyle(one).color, getComputedStyle(one).backgroundColor]")
    assert colours[0] != colours[1]
    stop.click()
    clear.click()
    assert clear.is_disabled()
    page.wait_for_selector("text=at this image")


def test_a_map_without_a_way_back_says_why_this_image_is_not_on_it(open_page):
    page = open_page("view=space&model=deep&method=tsne&source=draw")
    wait_for_saying(page, "space", "This image is not on it")
    assert page.locator("text=point at the map").count() == 2
    page.keyboard.press("p")
    page.wait_for_function("() => !document.querySelector('#space .says').textContent.includes('not on it')")
    page.wait_for_selector("text=at this image")


def test_on_a_phone_the_noise_and_the_verdict_are_seen_together(open_page):
    page = open_page("level=0.7", width=390, height=800)
    page.evaluate("document.querySelector('.card').scrollIntoView({block: 'center'})")
    assert is_in_sight(page, "#level")
    assert is_in_sight(page, "#models .says")
    assert page.locator(".noise").bounding_box()["y"] == pytest.approx(0, abs=1)
    first, second = page.locator(".card >> nth=0").bounding_box(), page.locator(".card >> nth=1").bounding_box()
    assert first["y"] == second["y"]
    assert second["x"] + second["width"] <= 390
    for view in ("models", "inside", "space", "compare"):
        box = page.locator(f"#tab-{view}").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    assert page.eval_on_selector("#title", "one => one.scrollWidth <= one.clientWidth || !one.clientWidth")


def test_on_a_phone_names_are_whole(open_page):
    page = open_page(width=360, height=740)
    name = page.locator(".card h3 .name >> nth=1")
    name.evaluate("one => { one.textContent = 'sparse-1024-1e-5-right'; }")
    assert name.evaluate("one => one.scrollHeight <= one.clientHeight && one.scrollWidth <= one.clientWidth")
    first, second = (page.locator(f".card .pair >> nth={i}").bounding_box() for i in (0, 1))
    assert first["y"] == second["y"]


def test_noise_in_units_of_the_image_is_not_called_a_level(open_page):
    page = open_page(ready=False)

    def relative(route):
        about = route.fetch().json()
        for one in about["models"]:
            one["trained"] = [noise | {"relative": True} for noise in one["trained"]]
        route.fulfill(json=about)

    page.route("**/api/about", relative)
    page.goto(page.url.split("#")[0] + "?#level=0.3&models=wide")
    page.wait_for_selector("text=trained at σ 0.3 × the image’s RMS")
    assert page.locator(".tags .here").count() == 0
    page.keyboard.press("4")
    page.wait_for_selector("#compare tbody td")
    assert page.locator("#compare td.trained").count() == 0


def test_arrows_in_the_table_scroll_it_alone(open_page):
    page = open_page("view=compare&models=deep,nothing", width=390, height=800)
    page.wait_for_function("() => document.querySelectorAll('#compare tbody tr').length === 2")
    page.focus(".scroll")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(100)
    assert "no. 0," in page.text_content("#clean-says")


def test_after_the_mouse_the_keys_go_to_the_images_again(open_page):
    page = open_page("level=0.3")
    page.click("#tab-draw")
    page.click("#tab-pick")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("text=test image no. 1,")
    page.focus("#kind")
    page.dispatch_event("#kind", "pointerdown")
    page.select_option("#kind", "masking")
    assert focused(page) == "BODY"
    page.focus("#level")
    page.keyboard.press("n")
    page.wait_for_function("() => location.hash.includes('draw=1')")
    assert focused(page) == "level"


def test_the_strip_turns_to_an_image_that_was_picked_elsewhere(open_page, shelf):
    page = open_page("label=4")
    other = next(i for i in range(100, 200) if shelf.images.labels[i] != 4)
    page.evaluate(f"location.hash = 'label=4&image={other}'")
    page.wait_for_selector(f'#strip button[aria-label^="Image no. {other},"][aria-pressed="true"]')


def test_the_study_introduces_itself_until_it_is_folded(open_page):
    page = open_page()
    assert page.text_content("#question") == "What does each make of it?"
    assert page.locator("#question").is_visible()
    page.click("#intro summary")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.locator("#question").is_hidden()


def test_words_fit_what_they_name(open_page, stroke):
    page = open_page()
    page.click("#tab-draw")
    stroke(page)
    page.wait_for_selector("#models .says b:visible")
    with page.expect_download():
        page.click("#models button:has-text('CSV')")
    assert page.text_content("#toast") == "Saved isthmus-models.csv to your downloads."
    assert page.get_attribute(".card abbr", "title").startswith("Peak signal-to-noise ratio")
