"""What people read of accuracy by exposure. Milliseconds."""

from flows import verdicts


def test_a_curve_ends_with_the_mean_and_says_of_which_exposures():
    lines = verdicts.curve({"mean_dark": 0.3, "0.05": 0.2, "0.005": 0.1, "clean": 0.8, "0.2": 0.4})
    assert [line.split()[0] for line in lines[:-1]] == ["clean", "0.2", "0.05", "0.005", "mean_dark"]
    assert lines[-1] == "mean_dark: over 0.2, 0.05"


def test_without_a_dark_exposure_nothing_is_said_of_their_mean():
    assert verdicts.curve({"clean": 0.5}) == [f"    clean  0.500  {'#' * 20}"]
