"""The source `hmdb51`: the official split files, on a small tree of real videos."""

from __future__ import annotations

import pytest
from vidrobust_datasets.hmdb51 import Hmdb51Source

from vidrobust.errors import ConfigError, VideoError

NAMES = (
    "clap/#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi",
    "clap/A_Beautiful_Mind_2_clap_u_nm_np1_fr_med_0.avi",
    "clap/two_clap_u_nm_np1_fr_med_0.avi",
    "shoot_ball/B(1)_shoot_ball_f_cm_np1_ba_med_0.avi",
)


def _split(folder, *lines, label="clap", split=1):
    folder.mkdir(exist_ok=True)
    (folder / f"{label}_test_split{split}.txt").write_text("\n".join(lines) + "\n")


def _line(name, code):  # the official files end their lines with a space
    return f"{name.partition('/')[2]} {code} "


@pytest.fixture
def root(tree):
    root = tree(*(f"hmdb51_org/{name}" for name in NAMES))
    splits = root / "testTrainMulti_7030_splits"
    _split(splits, _line(NAMES[0], 2), _line(NAMES[1], 1), _line(NAMES[2], 0))
    _split(splits, _line(NAMES[3], 2), label="shoot_ball")
    _split(splits, _line(NAMES[0], 1), _line(NAMES[1], 2), _line(NAMES[2], 2), split=3)
    return root


def _found(root, spec, **options):
    return [(v.key, v.label) for v in Hmdb51Source(str(root), **options).videos(spec)]


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, [NAMES[0], NAMES[3]]),
        ({"part": "train"}, [NAMES[1]]),
        ({"split": 3}, [NAMES[1], NAMES[2]]),
        ({"split": 3, "part": "train"}, [NAMES[0]]),
        ({"videos": "hmdb51_org"}, [NAMES[0], NAMES[3]]),
    ],
)
def test_split_and_part_choose_the_videos(root, spec, options, chosen):
    expected = [name.removesuffix(".avi").split("/")[::-1] for name in chosen]

    assert _found(root, spec, **options) == [tuple(pair) for pair in expected]


def test_a_video_is_read(root, spec):
    first, _ = Hmdb51Source(str(root)).videos(spec)

    assert first.load().shape == spec.shape


def test_lists_and_class_folders_may_lie_in_the_root(tree, spec):
    root = tree(*NAMES)
    _split(root, _line(NAMES[0], 2))

    assert _found(root, spec) == [("#20_Rhythm_clap_u_nm_np1_fr_goo_0", "clap")]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["a.avi 3"], r"split1\.txt:1: expected `video\.avi 0\|1\|2`, got 'a\.avi 3'"),
        (["a.avi"], "expected `video.avi"),
        (["a.avi 2", "a.avi 0"], r"split1\.txt:2: a\.avi a second time"),
        (["nowhere.avi 2"], r"not in .* \(1 of 1\): clap/nowhere\.avi"),
    ],
)
def test_a_split_file_that_is_none_is_shown(tree, spec, lines, words):
    root = tree(*NAMES)
    _split(root, *lines)

    with pytest.raises(ConfigError, match=words):
        _found(root, spec)


def test_what_is_missing_is_named(root, spec):
    with pytest.raises(VideoError, match="no such folder"):
        _found(root / "nope", spec)
    with pytest.raises(ConfigError, match=r"holds no \*_test_split2\.txt"):
        _found(root, spec, split=2)
    with pytest.raises(ConfigError, match=r"source\.videos"):
        _found(root, spec, videos="nope")
    _split(root / "testTrainMulti_7030_splits", _line(NAMES[0], 0), split=2)
    with pytest.raises(VideoError, match="names no test video"):
        _found(root, spec, split=2)
