"""--queue-default: what it may say, what is refused with the right word, and which option counts for a name."""

import pytest

from relay_server.config import Config
from relay_server.queue_defaults import join, parse, settings_of


def test_the_first_option_that_matches_counts() -> None:
    defaults = [parse("tenant-[ab]-*:max_jobs=5"), parse("tenant-*:rate=2.5, burst=10 ,priority_step_s=1.5")]
    assert settings_of(defaults, "tenant-a-x") == {"max_jobs": 5}
    assert settings_of(defaults, "tenant-c") == {"rate": 2.5, "burst": 10, "priority_step": 1500}
    assert settings_of(defaults, "other") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_jobs=5", "must be GLOB:SETTING=NUMBER"),
        ("a b:max_jobs=5", "must be GLOB:SETTING=NUMBER"),
        ("a:", "there is no setting ''; there are rate, burst, max_jobs"),
        ("a:jobs=5", "there is no setting 'jobs'"),
        ("a:max_jobs=-1", "max_jobs must be a whole number from 0 to 1e"),
        ("a:max_jobs=1.5", "max_jobs must be a whole number"),
        ("a:rate=nan", "rate must be a number from 0 to 1e"),
        ("a:max_expirations=0", "from 1 to 1000"),
        ("a:rate=1,rate=2", "rate is given twice"),
        ("a:priority_step_s=1,priority_step_s=2", "is given twice"),
    ],
)
def test_an_error_names_the_right_form(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)


def test_options_that_were_taken_apart_at_commas_are_joined() -> None:
    assert join(["a:rate=1", "burst=2", "b:rate=3"]) == ["a:rate=1,burst=2", "b:rate=3"]
    config = Config(queue_default=["a:rate=1", "burst=2", "b:rate=3"])  # type: ignore[call-arg]
    assert config.queue_default == ["a:rate=1,burst=2", "b:rate=3"]


def test_a_server_does_not_start_with_a_default_or_an_age_that_is_wrong() -> None:
    with pytest.raises(ValueError, match="no setting 'jobs'"):
        Config(queue_default=["a:jobs=1"])  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="at least 600, not 5"):
        Config(queue_idle_forget_s=5)  # type: ignore[call-arg]
    assert Config(queue_idle_forget_s=0).queue_idle_forget_s == 0  # type: ignore[call-arg]
