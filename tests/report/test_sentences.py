"""What a report says of constructed results, for which the right sentences are known."""

from __future__ import annotations

import dataclasses

import pytest

from isthmus.report.sentences import findings, section
from isthmus.studies.results.results_json import Results, Row

WIDTH = 1e-5  # of the intervals: narrow, so that what is told apart is


def model(size=8.0, mse=None, **changes):
    """A model of `study`: the size of its code, its error on clean test images, and what else is to be said of it.

    under: its error by corruption. trained: on images of the study's fitted split. seen, selected: of the test images.
    """
    facts = {"size": size, "mse": mse, "under": {}, "trained": None, "corruption": None, "of": None, "seen": False,
             "selected": None, "collapsed": False, "fitted_on": "train"}  # fmt: skip
    assert changes.keys() <= facts.keys()
    return {**facts, **changes}


def rows_of(name, facts):
    def row(value, split, corruption=None, seen=False):
        ci95 = (value - WIDTH, value + WIDTH)
        made = Row(name, 0, "mse", split, corruption, seen, value, ci95, 1000)
        return dataclasses.replace(made, selected=facts["selected"]) if facts["selected"] is not None else made

    if facts["size"]:
        yield Row(name, 0, "code_size", None, None, False, facts["size"], None, None)
    if facts["mse"] is not None:
        yield row(facts["mse"], "test", seen=facts["seen"])
    if facts["trained"] is not None:
        yield row(facts["trained"], "train", seen=True)
    for label, value in facts["under"].items():
        yield row(value, "test", label, facts["seen"])


def study(models, sections=None):
    """The results of a run of 8×8 images whose models are these."""
    told = {"what": "all 8 units of its code are zero", "cause": "the penalty", "instead": "less of it"}
    return Results(
        study="made",
        title="Made by hand",
        question="",
        seed=0,
        quick=False,
        complete=True,
        environment={},
        data={"image_shape": [1, 8, 8]},
        plan=[],
        models=[
            {"name": name, "of": facts["of"], "corruption": facts["corruption"], "fitted_on": facts["fitted_on"],
             "units": facts["size"] and int(facts["size"]), "collapsed": told if facts["collapsed"] else None}
            for name, facts in models.items()
        ],
        traps=[],
        sections=[{"name": n, "title": n.title(), "text": "", "models": m} for n, m in (sections or {}).items()],
        rows=[row for name, facts in models.items() for row in rows_of(name, facts)],
    )  # fmt: skip


IDENTITY = model(size=None, mse=0.0, under={"gaussian(0.3)": 0.05, "gaussian(0.5)": 0.11})
DIGITS = {
    "identity": IDENTITY,
    "pca-8": model(mse=0.021, under={"gaussian(0.3)": 0.028, "gaussian(0.5)": 0.040}),
    "deep-8": model(mse=0.013991, trained=0.0050, under={"gaussian(0.3)": 0.03, "gaussian(0.5)": 0.06}),
    "conv-unpool-8": model(192, mse=0.0020),
    "prior-8": model(mse=0.009081, of="deep-8", under={"gaussian(0.3)": 0.02, "gaussian(0.5)": 0.05}),
    "denoising-64": model(
        64, mse=0.004, corruption="gaussian(0.3)", under={"gaussian(0.3)": 0.01, "gaussian(0.5)": 0.02}
    ),
    "kl-64": model(64, mse=0.006, under={"gaussian(0.3)": 0.04, "gaussian(0.5)": 0.10}),
}
SECTIONS = {"narrow": ["pca-8", "deep-8", "conv-unpool-8"], "search": ["identity", "prior-8"],
            "noise": ["identity", "pca-8", "deep-8", "denoising-64"]}  # fmt: skip
RANKED = (
    "With 8 numbers for 64 pixels, prior-8 is the best of 3 on unseen test images: MSE 0.00908; the worst, pca-8, has "
    "0.0210, 2.3 times as much."
)
NONE = "No two models are ranked here: that takes two with codes of the same size that were trained and scored alike."


def everything(results):
    """All that is said in a report."""
    names = [part["models"] for part in results.sections] or [[facts["name"] for facts in results.models]]
    return [*findings(results), *(one for part in names for one in section(results, part))]


def test_a_search_competes_with_the_autoencoder_of_as_many_numbers_wherever_it_stands():
    results = study(DIGITS, SECTIONS)
    assert RANKED in findings(results)
    assert RANKED in section(results, SECTIONS["narrow"]), "though prior-8 is in another section"
    assert not any("deep-8 is" in one for one in everything(results))


def test_switches_count_so_a_decoder_that_sees_192_numbers_is_no_narrow_code():
    for one in everything(study(DIGITS, SECTIONS)):
        assert "conv-unpool-8" not in one
    wide = {**DIGITS, "conv-192": model(192, mse=0.003)}
    assert findings(study(wide))[1] == (
        "With 192 numbers for 64 pixels, conv-unpool-8 is the better of two on unseen test images: MSE 0.00200; "
        "conv-192 has 0.00300, 1.5 times as much."
    )


def test_a_denoiser_is_judged_at_the_noise_that_it_was_trained_for_alone():
    results = study(DIGITS, SECTIONS)
    said = [one for one in everything(results) if "denoising-64" in one]
    assert set(said) == {
        "Under gaussian(0.3), which it was trained for, the MSE to the clean image is 0.0100 of denoising-64 "
        "(64 numbers); doing nothing leaves 0.0500."
    }
    assert len(said) == 2, "in its section, and first of all"
    more = {**DIGITS, "dae-64": model(64, mse=0.005, corruption="gaussian(0.3)", under={"gaussian(0.3)": 0.015}),
            "dae-32": model(32, mse=0.005, corruption="gaussian(0.3)", under={"gaussian(0.3)": 0.007}),
            "late-64": model(64, mse=0.005, corruption="gaussian(0.5)", under={"gaussian(0.3)": 0.001})}  # fmt: skip
    said = findings(study(more))
    assert (
        "Of these, with 64 numbers for 64 pixels, denoising-64 is the better of two: MSE 0.0100; dae-64 has "
        "0.0150, 1.5 times as much."
    ) in said
    assert not any("late-64" in one for one in said), "what was trained at 0.5 was not measured there"


def test_models_trained_on_clean_images_are_ranked_under_noise_and_it_is_said():
    said = section(study(DIGITS, SECTIONS), SECTIONS["noise"])
    assert (
        "Under gaussian(0.5), with 8 numbers for 64 pixels and trained on clean images, pca-8 is the best of 3: "
        "MSE 0.0400; the worst, deep-8, has 0.0600, 1.5 times as much. Doing nothing leaves 0.110."
    ) in said
    idle = {**DIGITS, "identity": model(size=None, mse=0.0, under={"gaussian(0.3)": 0.05, "gaussian(0.5)": 0.03})}
    said = section(study(idle, SECTIONS), SECTIONS["noise"])
    assert sum("Doing nothing leaves 0.0300, less than any of them." in one for one in said) == 1


def test_a_search_of_a_denoisers_decoder_was_trained_for_the_denoisers_noise():
    models = {"dae-8": model(mse=0.02, corruption="gaussian(0.3)", under={"gaussian(0.5)": 0.03}),
              "prior-8": model(mse=0.01, of="dae-8", under={"gaussian(0.5)": 0.02}),
              "pca-8": model(mse=0.03, under={"gaussian(0.5)": 0.04})}  # fmt: skip
    assert not any("best" in one or "better" in one for one in everything(study(models)))


def test_overfitting_is_said_with_both_numbers():
    said = everything(study(DIGITS, SECTIONS))
    assert said.count(
        "deep-8 (0.00500 fitted, 0.0140 unseen) reconstructs images that it was fitted on far better than unseen "
        "test images: overfitting."
    ) == 3, "first of all, and in both sections that it is in"  # fmt: skip
    for changes in ({"trained": 0.0130}, {"trained": None}, {"trained": 0.0050, "seen": True}):
        other = {**DIGITS, "deep-8": {**DIGITS["deep-8"], **changes}}
        assert not any("overfitting" in one for one in everything(study(other)))
    two = {**DIGITS, "kl-64": model(64, mse=0.006, trained=0.001)}
    assert findings(study(two))[-1].startswith("kl-64 (0.00100 fitted, 0.00600 unseen) and deep-8 (0.00500 fitted")


@pytest.mark.parametrize(
    ("other", "terms"),
    [
        ({"seen": True}, "seen"),
        ({"selected": True}, "selected on"),
        ({"fitted_on": "all"}, "fitted on other images"),
        ({"size": 7.0}, "fewer numbers"),
        ({"corruption": "masking(0.3)"}, "trained for noise"),
    ],
)
def test_models_on_other_terms_are_not_ranked(other, terms):
    models = {"a": model(mse=0.01), "b": model(**{"mse": 0.02, **other})}
    assert everything(study({**models, "b": model(mse=0.02)})), "alike, they are"
    assert not any("best" in one or "better" in one for one in everything(study(models))), terms


def test_what_all_were_fitted_on_is_called_so():
    models = {name: model(mse=mse, seen=True, fitted_on="all") for name, mse in (("a", 0.01), ("b", 0.02))}
    assert "a is the better of two on test images that they were fitted on: MSE" in findings(study(models))[0]


def test_a_model_alone_is_not_ranked():
    for models in ({"a": model(mse=0.01)}, {"a": model(mse=0.01), "identity": IDENTITY}, {"identity": IDENTITY}):
        assert findings(study(models)) == [NONE]
        assert section(study(models), list(models)) == []


def test_equal_models_are_level_and_none_is_best():
    models = {name: model(mse=0.01, under={"gaussian(0.3)": 0.02}) for name in "abc"}
    assert everything(study(models))[0] == (
        "With 8 numbers for 64 pixels, a, b and c are level on unseen test images: MSE 0.0100."
    )
    assert not any("best" in one or "better" in one for one in everything(study(models)))


def test_intervals_that_overlap_do_not_tell_which_is_better():
    models = {"a": model(mse=0.01), "b": model(mse=0.01 + WIDTH), "c": model(mse=0.02)}
    (said,) = findings(study(models))
    assert said.endswith("2.0 times as much. The intervals of a and b overlap: they alone do not show which is better.")
    (said,) = findings(study({**models, "b": model(mse=0.01 + 3 * WIDTH)}))
    assert "overlap" not in said


def test_collapsed_models_are_named_and_never_the_worst():
    models = {"a": model(mse=0.01), "b": model(mse=0.02), "dead": model(mse=0.07, collapsed=True)}
    said = findings(study(models))
    assert said[0].startswith("dead has collapsed")
    assert said[1].endswith(
        "a is the better of two that have not collapsed on unseen test images: MSE 0.0100; b has 0.0200, 2.0 times "
        "as much."
    )
    said = findings(study({**models, "dead": model(mse=0.001, collapsed=True)}))
    assert said[1].endswith("as much. dead, which has collapsed, has less: 0.00100."), "as the table has it"
    every = {name: {**facts, "collapsed": True} for name, facts in models.items()}
    assert not any("best" in one or "better" in one for one in everything(study(every)))
    assert findings(study(every))[0].startswith("a, b and dead have collapsed")


def test_denoisers_alone_are_ranked_where_they_were_trained_and_not_on_clean_images():
    labels, others = ({"gaussian(0.3)": one, "gaussian(0.5)": two} for one, two in ((0.01, 0.02), (0.02, 0.001)))
    models = {"a": model(mse=0.002, corruption="gaussian(0.3)", under=labels),
              "b": model(mse=0.001, corruption="gaussian(0.3)", under=others)}  # fmt: skip
    said = everything(study(models))
    assert said[:2] == [
        "Under gaussian(0.3), which they were trained for, the MSE to the clean image is 0.0100 of a (8 numbers) and "
        "0.0200 of b (8 numbers).",
        "Of these, with 8 numbers for 64 pixels, a is the better of two: MSE 0.0100; b has 0.0200, 2.0 times as much.",
    ]
    assert said == 2 * said[:2]
    levels = {**models, "b": {**models["b"], "corruption": "gaussian(0.5)"}}
    assert [one.split(",")[0] for one in findings(study(levels))] == ["Under gaussian(0.3)", "Under gaussian(0.5)"]


def test_each_kind_of_noise_has_the_ends_of_its_levels():
    labels = {f"{kind}({n})": n / 100 for kind in ("gaussian", "masking") for n in (1, 2, 3)}
    labels |= {f"gaussian({n})+masking(0.2)": n / 100 for n in (1, 2, 3)}
    models = {"a": model(mse=0.01, under=labels), "b": model(mse=0.02, under={k: v + 0.1 for k, v in labels.items()})}
    ends = [
        f"Under {kind.format(n)}"
        for kind in ("gaussian({})", "masking({})", "gaussian({})+masking(0.2)")
        for n in (1, 3)
    ]
    assert [one.split(",")[0] for one in section(study(models), ["a", "b"]) if one.startswith("Under")] == ends
    assert [one.split(",")[0] for one in findings(study(models)) if one.startswith("Under")] == ends[1::2]
