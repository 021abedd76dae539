"""Progress as a line of text, and what is left of the time. Milliseconds."""

from hypothesis import given
from hypothesis import strategies as st

from components.records import Report
from flows.progress import Pace, Progress, duration, parse

figures = st.dictionaries(
    st.from_regex(r"[a-z_0-9.]+", fullmatch=True), st.integers(-9, 10**6) | st.floats(), max_size=4
)


@given(step=st.integers(1, 10**6), total=st.integers(1, 10**6), metrics=figures)
def test_a_line_tells_the_progress_it_was_made_from(step, total, metrics):
    progress = Progress.of("train_prior@ferplus-dev", Report("train_prior", step, total, metrics))
    assert parse(progress.line() + "\n") == progress


def test_other_lines_are_no_progress():
    for line in ("Running stage 'ingest@demo':", "> lldif stage ingest demo", "1/2", "ingest@demo 1/", "lldif: a 1/2"):
        assert parse(line) is None


def test_counts_are_whole_and_measures_short():
    progress = Progress.of("ingest@demo", Report("ingest", 1, 2, {"faces": 28709.0, "loss": 0.123456}))
    assert progress.figures == "faces=28709 loss=0.123"


def test_nothing_is_said_of_the_time_left_before_two_steps_were_seen():
    pace = Pace()
    assert pace.seconds_left(10, now=0) is None
    pace.saw(4, now=100)  # resumed: what came before step 4 took no time here
    assert pace.seconds_left(10, now=100) is None
    pace.saw(6, now=120)
    assert pace.seconds_left(10, now=120) == 40
    assert pace.seconds_left(10, now=125) == 35
    assert pace.seconds_left(10, now=1000) == 0


def test_durations_read_well():
    said = [duration(seconds) for seconds in (0.2, 59.4, 60, 185, 3599.4, 3600, 7449)]
    assert said == ["0 s", "59 s", "1 min 00 s", "3 min 05 s", "59 min 59 s", "1 h 00 min", "2 h 04 min"]
