"""Clips come out of files as promised, and every file that breaks its promise is named."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vidrobust.errors import VideoError
from vidrobust.types import ClipSpec
from vidrobust.video.io import read_clip, read_video, write_video

WHOLE = ["hmdb51_cartwheel.avi", "kinetics_arm_wrestling.mp4", "flipping_a_pancake.mkv"]


@pytest.mark.parametrize("name", WHOLE)
def test_a_clip_of_a_real_file_holds_exact_8_bit_levels(real, name):
    clip = read_clip(real(name), ClipSpec(("a",)))

    assert clip.shape == (16, 3, 112, 112)
    assert clip.dtype == torch.float32
    assert torch.equal(clip, (clip * 255).round() / 255)
    assert clip.std() > 0.05


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        ({}, [2, 7, 12, 17]),
        ({"sampling": "center"}, [8, 9, 10, 11]),
        ({"sampling": "center", "stride": 5}, [2, 7, 12, 17]),
    ],
)
def test_the_frames_of_the_sampling_are_the_ones_read(numbered, spec, options, frames):
    clip = read_clip(numbered(20), spec, **options)

    assert (clip[:, 0, 0, 0] * 255).tolist() == frames
    assert (clip == clip[:, :1, :1, :1]).all()


def test_the_same_seed_reads_the_same_random_clip_and_others_differ(numbered, spec):
    path = numbered(200)

    starts = [
        read_clip(path, spec, sampling="random", seed=seed)[0, 0, 0, 0].item()
        for seed in (0, 0, 1, 2, 3)
    ]

    assert starts[0] == starts[1]
    assert len(set(starts)) > 2


def test_red_comes_first(tmp_path, spec):
    clip = torch.zeros(4, 3, 16, 16)
    clip[:, 0] = 1
    write_video(tmp_path / "red.mkv", clip, codec="ffv1")

    assert torch.equal(read_clip(tmp_path / "red.mkv", spec), clip)


def test_reading_equals_decoding_resizing_and_cropping_by_hand(real):
    path = real("hmdb51_cartwheel.avi")
    capture, frames = cv2.VideoCapture(str(path)), []
    while (answer := capture.read())[0]:
        frames.append(answer[1][:, :, ::-1])
    small = cv2.resize(frames[10], (171, 128), interpolation=cv2.INTER_AREA)

    clip = read_clip(path, ClipSpec(("a",), frames=4))

    assert len(frames) == 84
    np.testing.assert_array_equal(
        (clip[0] * 255).permute(1, 2, 0).numpy(), small[8:120, 29:141].astype(np.float32)
    )


def test_a_long_video_is_never_held_in_memory_as_a_whole(real):
    path, whole = real("kinetics_arm_wrestling.mp4"), 280 * 340 * 256 * 3
    tracemalloc.start()
    read_clip(path, ClipSpec(("a",)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < whole / 10


def test_a_name_with_spaces_a_colon_and_a_percent_sign_is_read(numbered, spec, tmp_path):
    path = numbered(4).rename(tmp_path / "concat:a b %d é.mkv")

    assert read_clip(path, spec).shape == spec.shape


def test_a_relative_path_is_read_though_it_looks_like_a_protocol(numbered, spec, monkeypatch):
    path = numbered(4).rename(numbered(4).with_name("concat:a.mkv"))
    monkeypatch.chdir(path.parent)

    assert read_clip(path.name, spec).shape == spec.shape


@pytest.mark.parametrize("name", ["hmdb51_cartwheel.avi", "flipping_a_pancake.mkv"])
def test_a_file_that_breaks_off_is_damaged_at_the_frame_where_it_does(truncated, name):
    path = truncated(name, 0.6)

    with pytest.raises(VideoError, match=rf"{name}: damaged at frame \d+ .* of \d+ frames decode"):
        read_clip(path, ClipSpec(("a",)))


def test_damage_is_found_even_if_enough_frames_decode_before_it(overwritten):
    path = overwritten("kinetics_arm_wrestling.mp4")

    with pytest.raises(VideoError, match=r"damaged at frame 140 .*140 of 280 frames decode"):
        read_clip(path, ClipSpec(("a",), frames=2))


def test_a_gap_in_the_middle_is_damage_though_the_end_decodes(overwritten):
    with pytest.raises(VideoError, match=r"damaged at frame 35 .*75 of 85 frames decode"):
        read_clip(overwritten("hmdb51_cartwheel.avi"), ClipSpec(("a",), frames=2))


def test_an_mp4_that_breaks_off_has_no_index_and_the_message_says_so(truncated):
    with pytest.raises(VideoError, match=r"realshort.mp4: an MP4 without a readable") as caught:
        read_clip(truncated("realshort.mp4", 0.7), ClipSpec(("a",)))

    assert "again" in caught.value.hint


def test_a_header_without_frames_is_refused(truncated, real):
    whole = real("hmdb51_cartwheel.avi").read_bytes()
    share = (whole.index(b"movi") + 4) / len(whole)

    with pytest.raises(VideoError, match=r"cartwheel.avi: (no frame decodes|not a video)"):
        read_clip(truncated("hmdb51_cartwheel.avi", share), ClipSpec(("a",)))


def test_a_sound_file_has_no_picture(tmp_path, spec):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        silence = np.zeros((1, 4096), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    with pytest.raises(VideoError, match=r"sound.mp4: has no picture: it holds audio only"):
        read_clip(path, spec)


def test_sound_longer_than_the_picture_is_no_damage(tmp_path, spec):
    path = tmp_path / "long_sound.mkv"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("ffv1", rate=25)
        picture.width, picture.height, picture.pix_fmt = 16, 16, "bgr0"
        sound = container.add_stream("aac", rate=44100)
        for _ in range(10):
            still = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            container.mux(picture.encode(still))
        container.mux(picture.encode(None))
        for start in range(0, 3 * 44100, 1024):
            silence = np.zeros((1, 1024), dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    promised = cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)

    assert promised > 50
    assert read_clip(path, spec).shape == spec.shape


def _outcome(path):
    """What reading gave; anything but a clip or a `VideoError` is raised."""
    try:
        return f"a clip of {path.name}: {tuple(read_clip(path, ClipSpec(('a',))).shape)}"
    except VideoError as error:
        return error.message


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    share=st.floats(0.01, 1),
    place=st.floats(0, 1),
    noise=st.binary(min_size=1, max_size=300),
    where=st.sampled_from(["header", "anywhere"]),
)
def test_whatever_happened_to_the_bytes_the_answer_is_a_clip_or_a_video_error(
    real, tmp_path_factory, share, place, noise, where
):
    raw = bytearray(real("hmdb51_cartwheel.avi").read_bytes())
    raw = raw[: int(len(raw) * share)]
    start = int(place * (2000 if where == "header" else len(raw)))
    raw[start : start + len(noise)] = noise
    path = tmp_path_factory.mktemp("fuzz") / "fuzzed.avi"
    path.write_bytes(raw)

    assert "fuzzed.avi: " in _outcome(path)


def test_a_title_that_is_not_utf_8_does_not_hide_the_damage(tmp_path, truncated):
    path = truncated("hmdb51_cartwheel.avi", 0.6)
    raw = path.read_bytes()
    title = raw.index(b"HumanActionDB")
    path.write_bytes(raw[:title] + b"\xff\xfe\xda" + raw[title + 3 :])

    with pytest.raises(VideoError, match="damaged at frame"):
        read_clip(path, ClipSpec(("a",)))


def _missing(folder: Path) -> Path:
    return folder / "missing.mp4"


def _directory(folder: Path) -> Path:
    return folder


def _empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def _text(folder: Path) -> Path:
    (folder / "text.mp4").write_text("not a video\n" * 100)
    return folder / "text.mp4"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_missing, "missing.mp4: there is no such file"),
        (_directory, "is a directory, expected a video file"),
        (_empty, "empty.mp4: the file is empty"),
        (_text, "text.mp4: not a video"),
    ],
)
def test_what_is_no_video_is_named_and_silent_on_stderr(make, words, tmp_path, spec, capfd):
    with pytest.raises(VideoError, match=words) as caught:
        read_clip(make(tmp_path), spec)

    assert caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_a_damaged_file_leaves_nothing_on_stderr(overwritten, capfd):
    with pytest.raises(VideoError):
        read_video(overwritten("realshort.mp4"))

    assert capfd.readouterr() == ("", "")


def test_a_short_video_is_named_with_what_it_has_and_what_is_needed(numbered, spec):
    with pytest.raises(VideoError, match=r"numbered3.mkv: has 3 frames.* needs 4") as caught:
        read_clip(numbered(3), spec)

    assert "fewer frames" in caught.value.hint


def test_a_crop_that_does_not_fit_names_the_file(numbered):
    wide = ClipSpec(("a",), frames=4, height=16, width=60, resize=16)

    with pytest.raises(VideoError, match=r"numbered4.mkv: is 16 x 24 .* needs 16 x 60"):
        read_clip(numbered(4), wide)


def test_a_file_without_permission_is_named(numbered, spec, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)

    with pytest.raises(VideoError, match="no permission"):
        read_clip(numbered(4), spec)
