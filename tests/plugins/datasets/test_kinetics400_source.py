"""The source `kinetics400`: the official CSV and the layouts of its usual copies."""

from __future__ import annotations

import pytest
from vidrobust_datasets.kinetics400 import Kinetics400Source

from vidrobust.errors import ConfigError, VideoError

HEAD = "label,youtube_id,time_start,time_end,split"
ROWS = ("arm wrestling,-4wsuPCjDBc,5,15,validate", '"testifying",0w_PTtVCl30,20,30,validate')
STEMS = ("-4wsuPCjDBc_000005_000015", "0w_PTtVCl30_000020_000030")
LABELS = ("arm wrestling", "testifying")


def _write(root, *rows, name="validate.csv", head=HEAD):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *rows]) + "\n")


def _found(root, spec, **options):
    return [(v.key, v.label) for v in Kinetics400Source(str(root), **options).videos(spec)]


@pytest.mark.parametrize("folder", ["", "val/", "val/{label}/", "videos_val/{label_}/"])
@pytest.mark.parametrize("name", ["validate.csv", "annotations/val.csv"])
def test_annotations_and_videos_are_found_where_copies_have_them(tree, spec, folder, name):
    places = [folder.format(label=x, label_=x.replace(" ", "_")) for x in LABELS]
    root = tree(*(f"{place}{stem}.mp4" for place, stem in zip(places, STEMS, strict=True)))
    _write(root, *ROWS, name=name)

    assert _found(root, spec) == list(zip(STEMS, LABELS, strict=True))


def test_a_video_is_read(tree, spec):
    root = tree(f"val/{STEMS[0]}.mkv")
    _write(root, ROWS[0])

    [video] = Kinetics400Source(str(root)).videos(spec)

    assert video.load().shape == spec.shape


def test_a_file_may_be_called_by_its_id_alone(tree, spec):
    root = tree("val/-4wsuPCjDBc.mp4")
    _write(root, ROWS[0])

    assert _found(root, spec) == [("-4wsuPCjDBc", "arm wrestling")]


def test_missing_videos_are_counted_and_left_out_on_demand(tree, spec):
    root = tree(f"val/{STEMS[1]}.mp4")
    _write(root, *ROWS)

    with pytest.raises(ConfigError, match=rf"not in .*val \(1 of 2\): {STEMS[0]}") as caught:
        _found(root, spec)

    assert "source.missing = 'skip'" in caught.value.hint
    assert _found(root, spec, missing="skip") == [(STEMS[1], "testifying")]


def test_of_one_file_for_all_parts_the_rows_of_the_part_are_taken(tree, spec):
    root = tree(*(f"{stem}.mp4" for stem in STEMS))
    _write(root, ROWS[0], ROWS[1].replace("validate", "train"), name="all.csv")

    assert _found(root, spec, annotations="all.csv") == [(STEMS[0], LABELS[0])]
    assert _found(root, spec, annotations="all.csv", part="train") == [(STEMS[1], LABELS[1])]


def test_the_test_part_may_have_no_labels(tree, spec):
    root = tree(f"test/{STEMS[0]}.mp4")
    head = HEAD.removeprefix("label,")
    _write(root, "-4wsuPCjDBc,5,15,test", name="test.csv", head=head)

    assert _found(root, spec, part="test") == [(STEMS[0], None)]


def test_of_two_copies_the_one_in_the_folder_of_its_class_is_taken(tree, spec):
    root = tree(f"val/arm_wrestling/{STEMS[0]}.mp4", f"val/other/{STEMS[0]}.mp4")
    _write(root, ROWS[0])

    [video] = Kinetics400Source(str(root)).videos(spec)

    assert video.path == str(root / f"val/arm_wrestling/{STEMS[0]}.mp4")


@pytest.mark.parametrize(
    ("rows", "head", "kind", "words"),
    [
        (ROWS[:1], "path,label", ConfigError, "no column time_end, time_start, youtube_id"),
        (["x,abc,five,15,val"], HEAD, ConfigError, r"validate\.csv:2: expected times in seconds"),
        ([ROWS[0], ROWS[0]], HEAD, ConfigError, "names stretches twice"),
        (["x,abc,5,15,train"], HEAD, VideoError, "annotates no val video"),
        (["x,abc,5,15,val"], HEAD, VideoError, "holds none of the 1 videos"),
    ],
)
def test_annotations_that_are_none_are_shown(tree, spec, rows, head, kind, words):
    root = tree(f"val/{STEMS[0]}.mp4")
    _write(root, *rows, head=head)

    with pytest.raises(kind, match=words):
        _found(root, spec)


def test_what_is_missing_is_named(tree, spec):
    root = tree(f"one/{STEMS[0]}.mp4", f"two/{STEMS[0]}.mp4")

    with pytest.raises(VideoError, match="no such folder"):
        _found(root / "nope", spec)
    with pytest.raises(ConfigError, match=r"holds none of val\.csv, validate\.csv"):
        _found(root, spec)
    _write(root, ROWS[0])
    with pytest.raises(ConfigError, match="is there 2 times"):
        _found(root, spec)
    with pytest.raises(ConfigError, match="cannot be read as annotations"):
        _found(root, spec, annotations="nope.csv")
