"""The source `list`."""

from __future__ import annotations

import pytest
from vidrobust_datasets.listing import ListSource, split_line

from vidrobust.errors import ConfigError, VideoError


def _write(folder, *lines):
    (folder / "list.txt").write_text("\n".join(lines), encoding="utf-8")
    return str(folder / "list.txt")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("a.mp4 3", ("a.mp4", 3)),
        ("a.mp4 Run", ("a.mp4", "Run")),
        ("a.mp4", ("a.mp4", None)),
        ("my dance.avi playing guitar", ("my dance.avi", "playing guitar")),
        ("a.avi.mp4\t7", ("a.avi.mp4", 7)),
        ('"my dance.MKV" jump', ("my dance.MKV", "jump")),
        ("clip.ts 2", ("clip.ts", 2)),
        ("clip.ts", ("clip.ts", None)),
    ],
)
def test_a_line_is_a_path_and_perhaps_a_label(line, parts):
    assert split_line(line) == parts


def test_a_list_keeps_its_order_and_takes_paths_relative_to_itself(tree, spec):
    folder = tree("v/z.avi", "v/a b.mp4")
    file = _write(folder, "# a comment", "v/z.avi 1", "", "v/a b.mp4 playing guitar")

    videos = ListSource(file).videos(spec)

    assert [(v.key, v.label) for v in videos] == [("z", 1), ("a b", "playing guitar")]
    assert videos[1].load().shape == spec.shape


def test_a_root_replaces_the_folder_of_the_list(tree, spec, tmp_path_factory):
    folder = tree("z.avi")
    elsewhere = tmp_path_factory.mktemp("lists")

    (video,) = ListSource(_write(elsewhere, "z.avi"), root=str(folder)).videos(spec)

    assert video.path == str(folder / "z.avi")
    assert video.label is None


def test_absolute_paths_need_no_root(tree, spec):
    folder = tree("z.avi")

    (video,) = ListSource(_write(folder, f"{folder / 'z.avi'} Run"), root="nowhere").videos(spec)

    assert video.key == "z"


def test_a_name_that_looks_like_path_and_label_is_read_whole_where_it_exists(tree, spec):
    folder = tree("a.avi b.avi")

    (video,) = ListSource(_write(folder, "a.avi b.avi")).videos(spec)

    assert video.label is None
    assert video.load().shape == spec.shape


def test_missing_files_are_counted_and_the_first_three_shown(tree, spec):
    folder = tree("there.avi")
    lines = ["there.avi", *(f"gone{i}.avi" for i in range(5))]

    with pytest.raises(ConfigError, match=r"\(5 of 6\): gone0.avi, gone1.avi, gone2.avi, \.\.\."):
        ListSource(_write(folder, *lines)).videos(spec)


def test_a_video_listed_twice_is_refused(tree, spec):
    folder = tree("a.avi", "b.avi")

    with pytest.raises(ConfigError, match=r"more than once \(1 of 2\): a.avi"):
        ListSource(_write(folder, "a.avi 0", "b.avi 0", "a.avi 1")).videos(spec)


def test_a_list_that_is_missing_or_binary_is_a_config_error(tmp_path, spec):
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x80")

    with pytest.raises(ConfigError, match="no such list"):
        ListSource(str(tmp_path / "gone.txt")).videos(spec)
    with pytest.raises(ConfigError, match="cannot be read as a list"):
        ListSource(str(tmp_path / "binary.txt")).videos(spec)


def test_a_list_of_comments_has_no_video(tmp_path, spec):
    with pytest.raises(VideoError, match="lists no video"):
        ListSource(_write(tmp_path, "# nothing here")).videos(spec)
