import pytest

from isthmus.errors import DataError, IsthmusError, RequestError, RunError, one_of, require, unknown

KINDS = {"conv": 1, "dense": 2, "dictionary": 3}


def test_exit_codes_tell_a_wrong_request_from_a_failed_run():
    assert (RequestError.exit_code, DataError.exit_code, RunError.exit_code) == (2, 2, 1)
    assert all(issubclass(kind, IsthmusError) for kind in (RequestError, DataError, RunError))


def test_a_wrong_request_is_a_value_error_for_scikit_learn_and_a_failed_run_is_not():
    assert issubclass(DataError, RequestError)
    assert issubclass(RequestError, ValueError)
    assert not issubclass(RunError, ValueError)


def test_require_names_the_thing_the_rule_and_the_value():
    require(True, "sigma", "at least 0", 0.3)
    with pytest.raises(RequestError, match=r"^sigma must be at least 0, got -0\.3$"):
        require(False, "sigma", "at least 0", -0.3)
    with pytest.raises(RequestError, match=r"got '3'$"):
        require(False, "sigma", "a number", "3")


@pytest.mark.parametrize(("word", "near"), [("dens", "dense"), ("cnov", "conv"), ("dictionnary", "dictionary")])
def test_the_nearest_known_word_is_suggested(word, near):
    assert unknown("kind", word, KINDS) == (
        f'unknown kind "{word}"; known: conv, dense, dictionary. Did you mean "{near}"?'
    )


def test_nothing_is_suggested_for_a_word_that_is_near_to_none():
    assert unknown("kind", "zzz", KINDS) == 'unknown kind "zzz"; known: conv, dense, dictionary'


def test_one_of_lets_known_words_pass():
    for word in KINDS:
        one_of("kind", word, KINDS)


@pytest.mark.parametrize("word", ["dens", "Dense", "", None, 3, ["dense"]])
def test_one_of_refuses_the_rest(word):
    with pytest.raises(RequestError, match=r"^unknown kind .*; known: conv, dense, dictionary"):
        one_of("kind", word, KINDS)


def test_where_nothing_is_known_that_is_said():
    assert unknown("section", "a", []) == 'unknown section "a"; there is none'


def test_a_word_like_none_is_given_no_other_word():
    studies = ["compress", "digits", "lab"]
    assert unknown("study", "nope", studies) == 'unknown study "nope"; known: compress, digits, lab'
