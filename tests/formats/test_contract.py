"""What holds for every format of the registry."""

from __future__ import annotations

import codecs
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, UnknownName
from lmk.formats.base import Losses, Trait
from lmk.formats.exchange import format_named, read, said_by, write, write_back
from lmk.formats.pixels import IN_WORDS, SIZED
from lmk.formats.source import head
from lmk.formats.tps import UNSAYABLE
from lmk.formats.yolo import OUTSIDE
from lmk.names import Folder
from lmk.registry import FORMATS
from lmk.store import read_annotations, write_annotations
from tests.formats.sets import counted, elsewhere, frame_of, in_whole_numbers, placed, renamed, sets, sized, table_of

ALL = {name: format_named(name) for name in FORMATS}
READ_AND_WRITTEN = [name for name, form in ALL.items() if form.read and form.write]
WRITTEN_BACK = [name for name, form in ALL.items() if form.write_back]
# Files are written and read in every example; a loaded machine takes its time.
several_files = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What a format tells of besides what its traits say.
BESIDES = {"yolo": {OUTSIDE}, "tps": {UNSAYABLE}}
KEEPS_NUMBERS = {"csv", "wide-csv"}  # of instances; the others count them in the order of the file
NEEDS_POINTS = {"labelme"}  # which refuse an instance without any
KEEPS_EMPTY = {"csv"}  # instances without a labelled point; the others leave them out and say so
LOOKS_AT_IMAGES = {name for name, form in ALL.items() if form.sized}  # to learn how large they are
NO_TEXT = {"hf-parquet": "not a whole Parquet file"}  # and what they say of what is none of theirs
ABOVE_ZERO = {"merl-rav"}  # positions; a sign says that a point is occluded
LAID_OUT = {"merl-rav": "frontal/testset/"}  # folders that a format is recognised by
INSTANCE_TRAITS = {"split": Trait.SPLIT, "annotator": Trait.ANNOTATOR, "source": Trait.SOURCE, "gross": Trait.GROSS}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_called_as_its_line_in_the_registry_says(name):
    assert ALL[name].name == name
    assert ALL[name].origin in IN_WORDS
    assert ALL[name].sized or ALL[name].origin not in SIZED
    assert ALL[name].read or ALL[name].write
    assert FORMATS[name].says


@pytest.mark.parametrize("name", READ_AND_WRITTEN)
@several_files
@given(data=st.data())
def test_what_is_written_is_read_again_or_listed_as_lost(name, data):
    form = ALL[name]
    annotations = fitting(name, data.draw(sets(sizes=form.sizes)))
    whole = annotations.labelled.any(axis=1)
    if name not in KEEPS_EMPTY | NEEDS_POINTS and Trait.MISSING in form.carries:
        assume(whole.any())
        annotations = annotations.select(whole)
    with TemporaryDirectory() as folder:
        target = Path(folder) / "out"
        if Trait.MISSING in said_by(annotations) and Trait.MISSING not in form.carries:
            with pytest.raises(FormatError, match="missing points"):
                write(form, annotations, target)
            assert not target.exists()
            return
        if name in NEEDS_POINTS and not whole.all():
            with pytest.raises(FormatError, match="has no point"):
                write(form, annotations, target)
            assert not target.exists()
            return
        lost = {loss.kind: loss for loss in write(form, annotations, target)}
        again = read_again(name, target, annotations)

    assert lost.keys() - BESIDES.get(name, set()) <= set(Trait)
    assert all(loss.count > 0 and loss.example for loss in lost.values())
    ordered = name not in KEEPS_NUMBERS
    if form.origin in SIZED:  # shares of an image are read to a millionth of a pixel
        again = again.with_columns(x=np.round(again.column("x"), 6), y=np.round(again.column("y"), 6))
    assert rows_of(again, lost.keys(), ordered) == rows_of(annotations, lost.keys(), ordered)
    for trait, said in said_by(annotations).items():
        if trait not in form.carries:
            assert lost[trait] == said


def fitting(name, annotations):
    """The same set with sizes of images, and with positions that a format can have."""
    if name in ABOVE_ZERO:
        annotations = annotations.with_columns(**{axis: annotations.column(axis) + 80 for axis in "xy"})
    return in_whole_numbers(ALL[name], sized(annotations))


def read_again(name, path, annotations):
    """What a format reads of a set that was written, with the images beside it where it needs them."""
    with TemporaryDirectory() as images:
        beside = placed(annotations, Path(images)) if name in LOOKS_AT_IMAGES else None
        table = table_of(ALL[name], path, annotations.scheme, with_images=False, images=beside)
        return make_set(table, annotations.scheme, {}, "again")


def rows_of(annotations, lost, counted=False):
    """What a set says of every instance, without what was lost; numbers of instances are perhaps an order alone."""
    if counted:
        order = annotations.instances.groupby("image").cumcount()
        annotations = replace(annotations, instances=annotations.instances.assign(instance=order))
    kept = [name for name, trait in INSTANCE_TRAITS.items() if trait not in lost]
    table, rows = frame_of(annotations), []
    for row, instance in annotations.instances.iterrows():
        about = [text(table[column].to_numpy()[row * annotations.landmarks])
                 if column in table else "" for column in kept]  # fmt: skip
        if Trait.SEVERAL not in lost:
            about += [re.sub(r"\.jpg$", "", instance["image"]), instance["instance"]]
        if Trait.OCCLUSION not in lost:
            about += annotations.column("visibility")[row].tolist()
        rows.append((*about, np.nan_to_num(annotations.points[row], nan=-1e9).tolist()))
    return sorted(rows, key=repr)


def text(value):
    return "" if pd.isna(value) else value


@pytest.mark.parametrize("name", READ_AND_WRITTEN)
@several_files
@given(data=st.data())
def test_parts_have_whole_instances_of_bounded_size_and_say_where_they_come_from(name, data):
    annotations = data.draw(sets(missing=False, several=False, sizes=ALL[name].sizes))
    most = max(5, annotations.landmarks)  # a part has one instance at least
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        module = FORMATS[name].module
        patch.setattr(f"{module}.PART_ROWS", 5)
        annotations = fitting(name, annotations)
        write(ALL[name], annotations, Path(folder) / "out")
        beside = placed(annotations, Path(folder) / "images") if name in LOOKS_AT_IMAGES else None
        source = Folder(Path(folder) / "out", images=beside)
        parts = list(read(ALL[name], source, annotations.scheme, with_images=False).parts)

    for part in parts:
        assert len(part.table) <= most
        assert (part.table.groupby(["image", "instance"]).size() == annotations.landmarks).all()
        assert part.places is None or len(part.places) == len(part.table)
    assert sum(len(part.table) for part in parts) == annotations.labelled.size


def disguised(folder, lines, mark):
    """The same labels as another program on another machine might have written them."""
    for file in [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]:
        data = file.read_bytes()
        if b"\0" not in data:
            file.write_bytes(mark + data.replace(b"\n", lines))


def contents(path):
    if path.is_file():
        return path.read_bytes()
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", WRITTEN_BACK)
@settings(several_files, max_examples=12)
@given(
    data=st.data(),
    lines=st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
    mark=st.sampled_from([b"", codecs.BOM_UTF8]),
    seed=st.integers(0, 99),
)
def test_writing_back_changes_moved_points_and_not_a_byte_where_nothing_moved(name, data, lines, mark, seed):
    form = ALL[name]
    annotations = data.draw(sets(sizes=form.sizes))
    with TemporaryDirectory() as folder:
        source, same, moved = (Path(folder) / name for name in ("source", "same", "moved"))
        annotations = fitting(name, annotations)
        assume(annotations.labelled.any())
        try:
            write(form, annotations, source)
        except FormatError:
            assume(False)
        disguised(source, lines, mark)
        before = read_again(name, source, annotations)
        after = elsewhere(before, np.random.default_rng(seed))

        write_back(form, source, before, before, same)
        write_back(form, source, before, after, moved)

        assert contents(same) == contents(source)
        again = read_again(name, moved, annotations)
        np.testing.assert_array_equal(np.round(again.points * 64), np.round(in_whole_numbers(form, after).points * 64))
        rest = [column for column in frame_of(before) if column not in ("x", "y", "iteration")]
        pd.testing.assert_frame_equal(frame_of(again)[rest], frame_of(before)[rest])
        # The old file has its old numbers in the same places: taking the new ones back gives its bytes.
        write_back(form, moved, after if Trait.SUBPIXEL in form.carries else again, before, Path(folder) / "back")
        assert contents(Path(folder) / "back") == contents(source)


@pytest.mark.parametrize("name", WRITTEN_BACK)
@settings(several_files, max_examples=10)
@given(data=st.data())
def test_a_source_that_somebody_edited_since_is_refused_and_the_point_is_named(name, data):
    form = ALL[name]
    annotations = fitting(name, data.draw(sets(missing=False, several=False, sizes=form.sizes)))
    edited = annotations.points.copy()
    edited[-1, 1] += 1 / 16 if Trait.SUBPIXEL in form.carries else 1
    with TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        write(form, annotations.moved(edited, 0, {}, {}), source)
        with pytest.raises(DataError, match=r"landmark 1 is at .*, but was at .*; somebody edited it since") as error:
            write_back(form, source, annotations, annotations, target)

        assert str(source) in str(error.value)
        assert "\n" not in str(error.value)
        assert not target.exists()


@pytest.mark.parametrize("name", WRITTEN_BACK)
def test_writing_back_refuses_what_it_cannot_do(name, human, tmp_path):
    form = ALL[name]
    human = in_whole_numbers(form, human)
    write(form, human, tmp_path / "source")
    gone = np.zeros(human.labelled.shape, bool)
    gone[3, 5] = True
    few = human.select(np.arange(len(human.instances)) < 4)
    write(form, few, tmp_path / "few")

    with pytest.raises(DataError, match="landmark 5 is labelled in one set and not in the other"):
        write_back(form, tmp_path / "source", human, human.without(gone), tmp_path / "target")
    with pytest.raises(DataError, match="is not in the set that was read from there"):
        write_back(form, tmp_path / "source", few, human, tmp_path / "target")
    with pytest.raises(DataError, match="landmark 0 is not there any more"):
        write_back(form, tmp_path / "few", human, human, tmp_path / "target")
    with pytest.raises(DataError, match=r"name (another file|a new folder)"):
        write_back(form, tmp_path / "source", human, human, tmp_path / "source")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("name", WRITTEN_BACK)
def test_instances_that_are_not_in_the_set_stay_as_they_are(name, human, tmp_path):
    form, chosen = ALL[name], np.arange(len(human.instances)) == 2
    human = in_whole_numbers(form, human)
    write(form, human, tmp_path / "source")
    points = human.points.copy()
    points[2] += 5
    after = human.moved(points, 1, {}, {}).select(chosen)

    write_back(form, tmp_path / "source", human, after, tmp_path / "target")

    again, source = (read_again(name, tmp_path / folder, human) for folder in ("target", "source"))
    np.testing.assert_array_equal(again.points[~chosen], source.points[~chosen])  # to the last bit
    # A difference from the image's height loses some of the last bits, a share of its size more.
    last = 1e-11 if form.origin == "bottom" else 1e-6 if form.origin in SIZED else 0
    np.testing.assert_allclose(again.points[~chosen], human.points[~chosen], rtol=0, atol=last)
    # Shares of an image are written with as many decimals as a 64th of a pixel needs.
    np.testing.assert_allclose(again.points[chosen], after.points, atol=5e-4 if form.origin in SIZED else 1e-5)


@pytest.mark.parametrize("name", READ_AND_WRITTEN)
@pytest.mark.parametrize("image", ["../a.jpg", "/etc/a.jpg", "C:/a.jpg"])
def test_names_that_leave_the_folder_are_neither_read_nor_written(name, image, human, tmp_path):
    out = renamed(human, lambda name: image if name == "test/000000.jpg" else name)

    with pytest.raises(DataError, match=re.escape(image)):
        write(ALL[name], out, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", READ_AND_WRITTEN)
def test_a_format_is_recognised_in_words_and_by_no_other(name, human, tmp_path):
    def laid_out(image):
        return LAID_OUT[name] + image.replace("/", "_")

    target = tmp_path / "out"
    write(ALL[name], renamed(human, laid_out) if name in LAID_OUT else human, target)

    guesses = {other: form.sniff(target, head(target)) for other, form in ALL.items() if form.sniff}

    assert guesses[name].confidence >= 0.9
    assert len(guesses[name].reason.split()) > 4
    assert [other for other, guess in guesses.items() if guess] == [name]


def put_photograph(folder):
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 no label")


def put_other_table(folder):
    (folder / "labels.csv").write_text("image,x,y\na.jpg,1,2\n")


def put_loop(folder):
    (folder / "loop").symlink_to(folder)


@pytest.mark.parametrize("put", [put_photograph, put_other_table, put_loop, lambda folder: None])
@pytest.mark.parametrize("name", [name for name, form in ALL.items() if form.sniff])
def test_what_is_of_no_format_is_not_recognised(name, put, tmp_path):
    put(tmp_path)

    for path in [tmp_path, *tmp_path.iterdir(), tmp_path / "nowhere", Path("\0")]:
        assert ALL[name].sniff(path, head(path)) is None


@pytest.mark.parametrize("name", [name for name, form in ALL.items() if form.sniff])
@settings(deadline=None)  # a loaded machine takes its time
@given(data=st.binary(max_size=200), ending=st.sampled_from(["pts", "csv", "PTS", "json", ""]))
def test_looking_at_anything_never_raises(name, data, ending):
    for start in (b"", b"image,instance,landmark,x,y", b"n_points: 2", codecs.BOM_UTF16_LE):
        guess = ALL[name].sniff(Path(f"nowhere/a.{ending}"), start + data)
        assert guess is None or 0 < guess.confidence <= 1


def test_what_a_format_cannot_do_is_said(human, tmp_path):
    deaf = replace(ALL["pts"], read=None, write=None, write_back=None)

    with pytest.raises(FormatError, match="does not read it"):
        read(deaf, tmp_path, human.scheme, False)
    with pytest.raises(FormatError, match="does not write it"):
        write(deaf, human, tmp_path / "out")
    with pytest.raises(FormatError, match="cannot write back into format pts"):
        write_back(deaf, tmp_path, human, human, tmp_path / "out")
    with pytest.raises(UnknownName, match=f"unknown format 'tarot'; known: {', '.join(sorted(FORMATS))}"):
        format_named("tarot")


def test_losses_are_counted_by_kind_with_the_first_example():
    losses = Losses()

    losses.add("colour", 2, "a.jpg")
    losses.add("size", 1, "b.jpg")
    losses.add("colour", 3, "c.jpg")

    assert list(map(str, losses)) == ["lost: colour (5; the first: a.jpg)", "lost: size (1; the first: b.jpg)"]


@pytest.mark.parametrize("name", READ_AND_WRITTEN)
def test_text_in_another_encoding_is_refused(name, human, tmp_path):
    write(ALL[name], human, tmp_path / "out")
    for path in [tmp_path / "out", *tmp_path.joinpath("out").rglob("*")]:
        if path.is_file():
            path.write_bytes(b"\xff\xfe\x00\x01" * 9)

    with pytest.raises(FormatError, match=NO_TEXT.get(name, "UTF-16 or UTF-32 text; save it as UTF-8")):
        list(read(ALL[name], tmp_path / "out", human.scheme, False).parts)


@pytest.mark.parametrize("name", READ_AND_WRITTEN)
def test_what_nobody_moved_is_written_with_the_numbers_that_were_read(name, tmp_path):
    form = ALL[name]
    scheme = counted(min(form.sizes or {3}))
    size = scheme.size
    numbers = np.random.default_rng(3).uniform(-3, 3000, (5, size, 2))
    numbers = numbers.round(7 if Trait.SUBPIXEL in form.carries else 0)
    numbers = np.abs(numbers) if name in ABOVE_ZERO else numbers
    table = pd.DataFrame(
        {
            "image": np.repeat([f"{k}.png" for k in range(5)], size),
            "instance": 0,
            "landmark": np.tile(range(size), 5),
            "x": numbers[..., 0].ravel(),
            "y": numbers[..., 1].ravel(),
        }
    )
    made = sized(make_set(table, scheme, {}, "made"))
    write(form, made, tmp_path / "first")
    read_back = read_again(name, tmp_path / "first", made)
    write_annotations(read_back, tmp_path / "i00.parquet")
    kept = read_annotations(tmp_path / "i00.parquet")
    unmoved = kept.moved(kept.points + 1e-12, 0, {}, {})  # some files say of which iteration they are

    write(form, unmoved, tmp_path / "again")

    if form.origin in SIZED:
        np.testing.assert_allclose(kept.points, numbers, rtol=0, atol=1e-6)
    else:
        np.testing.assert_array_equal(kept.points, numbers)
    assert contents(tmp_path / "again") == contents(tmp_path / "first")
