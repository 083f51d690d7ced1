"""The sources `file` and `folder`, and the keys all sources share."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vidrobust_datasets.files import unique_keys
from vidrobust_datasets.folder import FileSource, FolderSource

from vidrobust.errors import ConfigError, VideoError
from vidrobust.plugin.manager import PluginHost


def _labels(videos):
    return {video.key: video.label for video in videos}


def test_one_file_is_one_video_with_its_label_and_path(tree, spec):
    path = tree("dance.mp4") / "dance.mp4"

    (video,) = FileSource(str(path), label="b").videos(spec)

    assert (video.key, video.label, video.path) == ("dance", "b", str(path))
    assert (video.load()[:, 0, 0, 0] * 255).tolist() == [1, 4]


def test_a_file_without_label_has_none(tree, spec):
    (video,) = FileSource(str(tree("dance.mp4") / "dance.mp4")).videos(spec)

    assert video.label is None


@pytest.mark.parametrize(("name", "words"), [("no.mp4", "no such file"), (".", "is a directory")])
def test_a_file_that_is_none_is_refused_before_loading(tmp_path, spec, name, words):
    with pytest.raises(VideoError, match=words):
        FileSource(str(tmp_path / name)).videos(spec)


def test_sub_folders_are_classes(tree, spec):
    folder = tree("Jump/x.avi", "Run/y.mp4", "Run/deep/er/z.mkv")

    assert _labels(FolderSource(str(folder)).videos(spec)) == {"x": "Jump", "y": "Run", "z": "Run"}


def test_a_flat_folder_has_no_labels(tree, spec):
    folder = tree("b.avi", "a.WEBM", "c.mov", "notes.txt")

    videos = FolderSource(str(folder)).videos(spec)

    assert [(video.key, video.label) for video in videos] == [("a", None), ("b", None), ("c", None)]


def test_videos_come_sorted_by_path(tree, spec):
    folder = tree("B/1.avi", "A/2.avi", "A/10.avi")

    assert [v.key for v in FolderSource(str(folder)).videos(spec)] == ["10", "2", "1"]


def test_equal_stems_get_keys_with_their_paths(tree, spec):
    folder = tree("A/1.avi", "B/1.avi", "B/1.mp4", "B/2.avi")

    keys = [video.key for video in FolderSource(str(folder)).videos(spec)]

    assert keys == ["A/1.avi", "B/1.avi", "B/1.mp4", "2"]


def test_hidden_files_and_folders_are_left_out(tree, spec):
    folder = tree("a.mp4", ".b.mp4", ".cache/c.mp4")

    assert [video.key for video in FolderSource(str(folder)).videos(spec)] == ["a"]


def test_videos_beside_class_folders_are_refused_with_count_and_example(tree, spec):
    folder = tree("Jump/x.avi", "stray.avi")

    with pytest.raises(ConfigError, match=r"1 of 2 videos lie in no class .* stray\.avi"):
        FolderSource(str(folder)).videos(spec)


def test_labels_can_be_switched_off(tree, spec):
    folder = tree("Jump/x.avi", "stray.avi")

    videos = FolderSource(str(folder), labels="none").videos(spec)

    assert _labels(videos) == {"x": None, "stray": None}


def test_a_flat_folder_that_should_have_classes_is_refused(tree, spec):
    with pytest.raises(ConfigError, match="1 of 1 videos lie in no class folder"):
        FolderSource(str(tree("a.avi")), labels="folders").videos(spec)


@pytest.mark.parametrize(
    ("name", "words"),
    [("", "holds no video"), ("nope", "no such folder"), ("notes.txt", "is a file")],
)
def test_a_folder_without_videos_is_a_video_error(tree, spec, name, words):
    folder = tree("notes.txt")

    with pytest.raises(VideoError, match=words) as caught:
        FolderSource(str(folder / name)).videos(spec)

    assert caught.value.hint


def test_listing_a_folder_decodes_nothing(tmp_path, spec):
    (tmp_path / "broken.mp4").write_bytes(b"broken")

    (video,) = FolderSource(str(tmp_path)).videos(spec)

    with pytest.raises(VideoError, match=r"broken\.mp4"):
        video.load()


def test_random_sampling_repeats_with_the_seed_and_differs_between_videos(tree, spec):
    folder = tree(*(f"{i}.mkv" for i in range(12)))

    def read(seed):
        source = FolderSource(str(folder), sampling="random", seed=seed)
        return torch.stack([video.load() for video in source.videos(spec)])

    first = read(0)

    assert torch.equal(first, read(0))
    assert not torch.equal(first, read(1))
    assert len(first.unique(dim=0)) > 2


@pytest.mark.parametrize("options", [{"stride": 2}, {"stride": 0}, {"seed": -1}])
def test_options_that_make_no_sense_are_refused_when_the_source_is_built(options):
    with pytest.raises(ConfigError, match=rf"source\.{next(iter(options))}"):
        FolderSource("anywhere", **options)


@given(
    st.lists(
        st.builds(
            "".join,
            st.tuples(
                st.sampled_from(["", "a/", "b/"]),
                st.sampled_from(["a", "b"]),
                st.sampled_from(["", ".avi", ".mp4", ".avi.mp4"]),
            ),
        ),
        unique=True,
    )
)
def test_keys_are_unique_whatever_the_files_are_called(names):
    keys = unique_keys(names)

    assert len(set(keys)) == len(names)


def test_the_plugin_offers_its_sources_and_each_loads():
    host = PluginHost(allowed=["datasets"])

    names = ["file", "folder", "hmdb51", "kinetics400", "list", "ucf101"]
    assert [p.entry.name for p in host.entries("sources")] == names
    assert all(callable(provided.load()) for provided in host.entries("sources"))


def test_listing_the_plugins_imports_neither_torch_nor_opencv():
    code = (
        "import sys, vidrobust_datasets.plugin as d, vidrobust_torch.plugin as t; "
        "list(d.vidrobust_sources()); list(t.vidrobust_models()); "
        "sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
