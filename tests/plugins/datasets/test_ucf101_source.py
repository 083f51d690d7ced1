"""The source `ucf101`: the official layouts, and every way list and folder can disagree."""

from __future__ import annotations

from collections import Counter

import pytest
from vidrobust_datasets.ucf101 import Ucf101Source

from vidrobust.errors import ConfigError, VideoError
from vidrobust.types import ClipSpec

NAMES = ("Run/v_Run_g01_c01.avi", "Jump/v_Jump_g01_c02.avi")
CLASSES = "1 Jump\n2 Run\n"


def _lists(folder, *lines, name="testlist01.txt", classes=CLASSES):
    folder.mkdir(exist_ok=True)
    (folder / "classInd.txt").write_text(classes)
    (folder / name).write_text("\n".join(lines) + "\n")


def _keys(videos):
    return [(video.key, video.label) for video in videos]


@pytest.mark.parametrize("lists", ["", "ucfTrainTestlist"])
@pytest.mark.parametrize("videos", ["", "UCF-101", "anything"])
def test_lists_and_videos_are_found_where_the_official_archives_put_them(tree, spec, lists, videos):
    root = tree(*(f"{videos}/{name}".lstrip("/") for name in NAMES))
    _lists(root / lists, *NAMES)

    found = Ucf101Source(str(root)).videos(spec)

    assert _keys(found) == [("v_Run_g01_c01", "Run"), ("v_Jump_g01_c02", "Jump")]
    assert found[0].load().shape == spec.shape


def test_split_and_part_choose_the_list(tree, spec):
    root = tree(*NAMES)
    _lists(root, f"{NAMES[0]} 2", name="trainlist03.txt")

    assert _keys(Ucf101Source(str(root), split=3, part="train").videos(spec)) == [
        ("v_Run_g01_c01", "Run")
    ]


def test_two_complete_copies_have_to_be_told_apart(tree, spec):
    root = tree(*(f"{size}/{name}" for size in ("large", "small") for name in NAMES))
    _lists(root, *NAMES)

    with pytest.raises(ConfigError, match="in 2 folders: large, small"):
        Ucf101Source(str(root)).videos(spec)

    (first, _) = Ucf101Source(str(root), videos="small").videos(spec)
    assert first.path == str(root / "small" / NAMES[0])


def test_missing_videos_are_counted_in_the_folder_that_holds_most(tree, spec):
    root = tree(f"UCF-101/{NAMES[0]}")
    _lists(root, *NAMES)

    with pytest.raises(ConfigError, match=rf"UCF-101 \(1 of 2\): {NAMES[1]}"):
        Ucf101Source(str(root)).videos(spec)


def test_a_class_id_that_disagrees_with_class_ind_is_shown(tree, spec):
    root = tree(*NAMES)
    _lists(root, f"{NAMES[0]} 1", f"{NAMES[1]} 1", name="trainlist01.txt")

    with pytest.raises(ConfigError, match=r"\(1 of 2\): line 1: .* has class id 1, but Run is 2"):
        Ucf101Source(str(root), part="train").videos(spec)


def test_a_class_that_class_ind_does_not_know_is_shown(tree, spec):
    root = tree("Swim/v_Swim_g01_c01.avi")
    _lists(root, "Swim/v_Swim_g01_c01.avi")

    with pytest.raises(ConfigError, match=r"class Swim is not in classInd\.txt"):
        Ucf101Source(str(root)).videos(spec)


def test_a_video_in_the_folder_of_another_class_is_shown(tree, spec):
    root = tree("Run/v_Jump_g01_c01.avi")
    _lists(root, "Run/v_Jump_g01_c01.avi")

    with pytest.raises(ConfigError, match=r"v_Jump_g01_c01\.avi is a video of Jump"):
        Ucf101Source(str(root)).videos(spec)


def test_the_datasets_own_odd_spelling_is_accepted(tree, spec):
    name = "HandstandPushups/v_HandStandPushups_g01_c01.avi"
    root = tree(name)
    _lists(root, name, classes="37 HandstandPushups\n")

    assert _keys(Ucf101Source(str(root)).videos(spec)) == [
        ("v_HandStandPushups_g01_c01", "HandstandPushups")
    ]


def test_a_line_listed_twice_is_shown(tree, spec):
    root = tree(*NAMES)
    _lists(root, NAMES[0], NAMES[0])

    with pytest.raises(ConfigError, match=r"line 2: .* a second time"):
        Ucf101Source(str(root)).videos(spec)


@pytest.mark.parametrize("line", ["no-slash.avi", "/"])
def test_a_line_of_another_format_is_shown_with_its_number(tree, spec, line):
    root = tree(*NAMES)
    _lists(root, NAMES[0], line)

    with pytest.raises(ConfigError, match=r"testlist01.txt:2: expected `Class/video.avi`"):
        Ucf101Source(str(root)).videos(spec)


def test_class_ind_of_another_format_is_shown_with_its_number(tree, spec):
    root = tree(*NAMES)
    _lists(root, NAMES[0], classes="1 Jump\nRun\n")

    with pytest.raises(ConfigError, match=r"classInd.txt:2: expected `id name`, got 'Run'"):
        Ucf101Source(str(root)).videos(spec)


def test_what_is_missing_is_named(tree, spec):
    root = tree(*NAMES)

    with pytest.raises(VideoError, match="no such folder"):
        Ucf101Source(str(root / "nope")).videos(spec)
    with pytest.raises(ConfigError, match=r"holds no testlist02.txt"):
        Ucf101Source(str(root), split=2).videos(spec)
    _lists(root, *NAMES)
    with pytest.raises(ConfigError, match=r"source\.videos: .*nope is no folder") as caught:
        Ucf101Source(str(root), videos="nope").videos(spec)
    assert "Jump" in caught.value.hint


def test_an_empty_list_has_no_video(tree, spec):
    root = tree(*NAMES)
    _lists(root)

    with pytest.raises(VideoError, match="lists no video"):
        Ucf101Source(str(root)).videos(spec)


@pytest.mark.parametrize(
    ("part", "folder", "count"), [("test", "test_320x240", 36), ("train", "train_172x128", 324)]
)
def test_the_real_data_is_found_by_its_lists(shared, part, folder, count):
    root = shared / "data" / "ucf101_6class"

    found = Ucf101Source(str(root), part=part).videos(ClipSpec(("a",)))
    named = Ucf101Source(str(root), part=part, videos=folder).videos(ClipSpec(("a",)))

    assert _keys(found) == _keys(named)
    assert len(found) == count
    assert len(set(Counter(video.label for video in found).values())) == 1
    assert found[0].load().shape == (16, 3, 112, 112)
