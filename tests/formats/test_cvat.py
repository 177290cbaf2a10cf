"""CVAT for images 1.1, as CVAT 2.x writes it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, SchemeError
from lmk.formats.cvat import CVAT
from lmk.formats.edges import contours_of
from lmk.formats.exchange import looks_like, read, write, write_back
from lmk.scheme import load_scheme, parse_scheme

SVG = (
    "&lt;line x1=&quot;1&quot; data-type=&quot;edge&quot; data-node-from=&quot;1&quot; data-node-to=&quot;2&quot;&gt;"
    "&lt;/line&gt;&lt;line data-type=&quot;edge&quot; data-node-from=&quot;2&quot; data-node-to=&quot;3&quot;&gt;"
    "&lt;/line&gt;"
    + "".join(
        f"&lt;circle r=&quot;1.5&quot; data-type=&quot;element node&quot; data-element-id=&quot;{k}&quot; "
        f"data-node-id=&quot;{k}&quot; data-label-name=&quot;{name}&quot;&gt;&lt;/circle&gt;"
        for k, name in enumerate(("nose", "eye &amp;amp; brow", "chin"), 1)
    )
)
META = f"""  <meta>
    <task>
      <id>7</id>
      <name>faces</name>
      <subset>Validation</subset>
      <labels>
        <label>
          <name>face</name>
          <color>#fafa37</color>
          <type>skeleton</type>
          <attributes>
            <attribute><name>mood</name><input_type>text</input_type><values></values></attribute>
          </attributes>
          <svg>{SVG}</svg>
        </label>
        <label><name>nose</name><type>points</type><attributes></attributes><parent>face</parent></label>
        <label><name>eye &amp; brow</name><type>points</type><attributes></attributes><parent>face</parent></label>
        <label><name>chin</name><type>points</type><attributes></attributes><parent>face</parent></label>
      </labels>
      <owner><username>me</username></owner>
    </task>
    <dumped>2026-11-02 10:11:12.131415+00:00</dumped>
  </meta>
"""
IMAGES = """  <image id="0" name="a b.jpg" width="640" height="480">
    <skeleton label="face" source="manual" z_order="0">
      <points label="chin" source="manual" outside="0" occluded="1" points="30.00,31.50">
      </points>
      <points label="nose" source="manual" outside="0" occluded="0" points="10.00,11.25">
        <attribute name="mood">calm</attribute>
      </points>
      <points label="eye &amp; brow" source="manual" outside="1" occluded="0" points="20.00,21.00">
      </points>
    </skeleton>
    <box label="hat" source="manual" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4" z_order="0">
    </box>
    <tag label="blurred" source="manual">
    </tag>
    <skeleton label="face" source="manual" z_order="0">
      <points label="nose" source="manual" outside="0" occluded="0" points="1,2">
      </points>
    </skeleton>
  </image>
  <image id="1" name="empty.jpg" width="640" height="480">
  </image>
"""


def document(images, meta=META):
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
    return f"{head}{meta}{images}</annotations>\n"


def put(folder, images=IMAGES, meta=META):
    file = folder / "annotations.xml"
    file.write_text(document(images, meta), encoding="utf-8")
    return file


def taken(file, scheme=None, with_images=False):
    reading = read(CVAT, file, scheme, with_images)
    made = make_set((part.table for part in reading.parts), reading.scheme, {}, "here")
    return made, reading, {loss.kind: (loss.count, loss.example) for loss in reading.losses}


def test_skeletons_with_points_in_any_order_are_read_from_the_corner(tmp_path):
    made, reading, lost = taken(put(tmp_path))

    assert reading.scheme.names == ("nose", "eye & brow", "chin")
    assert reading.scheme.contours == ((0, 1, 2),)
    np.testing.assert_array_equal(
        made.points,
        [[[9.5, 10.75], [np.nan] * 2, [29.5, 31]], [[0.5, 1.5], [np.nan] * 2, [np.nan] * 2]],
    )
    np.testing.assert_array_equal(made.column("visibility"), [[2, 0, 1], [2, 0, 0]])
    assert made.instances[["width", "height", "split"]].drop_duplicates().to_numpy().tolist() == [[640, 480, "val"]]
    assert lost == {
        "attributes": (1, "mood of a b.jpg"),
        "boxes": (1, "hat of a b.jpg"),
        "tags": (1, "blurred of a b.jpg"),
        "images without landmarks": (1, "empty.jpg"),
    }


def test_a_users_scheme_with_the_same_names_decides_their_order(tmp_path):
    mine = parse_scheme('{"name": "mine", "points": ["chin", "nose", "eye & brow"]}', "mine")

    made, _, _ = taken(put(tmp_path), mine)

    np.testing.assert_array_equal(made.points[0, :2], [[29.5, 31], [9.5, 10.75]])
    wider = parse_scheme('{"name": "four", "points": ["ear", "chin", "nose", "eye & brow"]}', "four")
    np.testing.assert_array_equal(taken(put(tmp_path, meta=""), wider)[0].points[0, :2], [[np.nan] * 2, [29.5, 31]])
    with pytest.raises(SchemeError, match="3 landmarks, but scheme ibug68 has 68"):
        taken(put(tmp_path), load_scheme("ibug68"))


def test_without_meta_the_points_that_are_there_are_the_landmarks(tmp_path):
    _, reading, _ = taken(put(tmp_path, meta=""))

    assert reading.scheme.names == ("chin", "nose", "eye & brow")
    assert reading.scheme.contours == ()


def test_skeletons_of_which_all_is_outside_are_counted(tmp_path):
    nothing = IMAGES.replace('outside="0"', 'outside="1"', 2)
    file = put(tmp_path, nothing)

    made, _, lost = taken(file)
    write_back(CVAT, file, made, made.moved(made.points + 1, 1, {}, {}), tmp_path / "new.xml")

    assert made.points[:, 0].tolist() == [[0.5, 1.5]]
    assert lost["instances without a labelled point"] == (1, "a b.jpg")
    assert (tmp_path / "new.xml").read_text() == file.read_text().replace('"1,2"', '"2,3"')


SINGLE = """  <image id="0" name="a.jpg" width="64" height="48" subset="test">
    <points label="nose" source="manual" occluded="0" points="1.00,2.00" z_order="0" group_id="2">
    </points>
    <points label="nose" source="manual" occluded="0" points="5.00,6.00" z_order="0" group_id="1">
    </points>
    <points label="chin" source="manual" occluded="1" points="3.00,4.00" z_order="0" group_id="2">
    </points>
    <points label="chin" source="manual" occluded="0" points="3.00,4.00;5,6" z_order="0">
    </points>
  </image>
  <image id="1" name="b.jpg" width="64" height="48" subset="odd">
    <points label="chin" source="manual" occluded="0" points="7.00,8.00" z_order="0">
    </points>
  </image>
"""


def test_single_points_are_joined_by_their_group(tmp_path):
    made, reading, lost = taken(put(tmp_path, SINGLE, META.replace("skeleton", "points")))

    assert reading.scheme.names == ("nose", "chin")
    assert made.instances[["image", "instance", "split"]].to_numpy().tolist() == [
        ["a.jpg", 0, "test"], ["a.jpg", 1, "test"], ["b.jpg", 0, "train"]]  # fmt: skip
    np.testing.assert_array_equal(
        made.points, [[[0.5, 1.5], [2.5, 3.5]], [[4.5, 5.5], [np.nan] * 2], [[np.nan] * 2, [6.5, 7.5]]]
    )
    assert reading.notes == [
        "objects are single points, joined by their group_id, and those of an image without one are one object"
    ]
    assert lost["shapes that are not of the landmarks"] == (1, "chin of a.jpg")
    assert lost["splits"][0] == 1
    with pytest.raises(FormatError, match=r"image a\.jpg: two points 'nose' in group 0; join the points"):
        taken(put(tmp_path, SINGLE.replace(' group_id="2"', "").replace(' group_id="1"', "")))


def test_all_points_of_an_object_in_one_list_are_counted(tmp_path):
    points = ";".join(f"{k}.5,{2 * k}.5" for k in range(68))
    images = f"""<image id="0" name="a.jpg" width="640" height="480">
      <points label="face" source="manual" occluded="0" points="{points}" z_order="0"></points>
      <points label="hand" source="manual" occluded="0" points="1,2;3,4" z_order="0"></points>
      <points label="face" source="manual" occluded="1" points="{points}" z_order="0"></points></image>"""

    made, reading, lost = taken(put(tmp_path, images, ""))

    assert reading.scheme.name == "ibug68"
    np.testing.assert_array_equal(made.points[0], [[k, 2 * k] for k in range(68)])
    np.testing.assert_array_equal(made.column("visibility")[:, 5], [2, 1])
    assert lost == {"shapes that are not of the landmarks": (1, "hand of a.jpg")}
    with pytest.raises(FormatError, match="69 points in a list, but scheme ibug68 has 68"):
        taken(put(tmp_path, images.replace('occluded="1" points="', 'occluded="1" points="1,1;'), ""))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<annotations>", '<!DOCTYPE a [<!ENTITY x "y">]><annotations>', "has a DOCTYPE"),
        ("<annotations>", '<!DOCTYPE a SYSTEM "http://localhost/a.dtd"><annotations>', "has a DOCTYPE"),
        ("a b.jpg", "&x;", "line .*: not well-formed XML"),
        ("</annotations>", "", "not well-formed XML"),
        ("10.00,11.25", "10.00", "a position is x,y and not '10.00'"),
        ("10.00,11.25", "1e999,2", "a position is x,y and not '1e999,2'"),
        ("10.00,11.25", "nan,2", "a position is x,y and not 'nan,2'"),
        ("10.00,11.25", "1_0,2", "a position is x,y and not '1_0,2'"),
        ("10.00,11.25", "1,2;3,4", "a position is x,y and not '1,2;3,4'"),
        ('label="nose" source', 'label="ear" source', "a skeleton 'face' has a point 'ear', which its label"),
        ('label="nose" source', 'label="chin" source', r"image a b\.jpg: point 'chin' of a 'face' is there twice"),
        ('width="640"', 'width="-4"', "width is a number of pixels, not '-4'"),
        ("a b.jpg", "../b.jpg", "leads out of the folder"),
        ("<image", "<track id='0'></track><image", "CVAT for images 1.1"),
        ("</image>", "</image><track id='0'></track>", "CVAT for images 1.1"),
        ("<image", "<a>" * 100 + "<image", "nested deeper than 64 levels"),
        ("10.00,11.25", "1" * (5 << 20), "MiB without a tag"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(old, new, says, tmp_path):
    file = put(tmp_path)
    file.write_text(file.read_text().replace(old, new))

    with pytest.raises((FormatError, DataError), match=says) as error:
        taken(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_without_landmarks_and_a_folder_are_named(tmp_path):
    with pytest.raises(FormatError, match="no skeletons or points in it; export the task"):
        taken(put(tmp_path, '<image id="0" name="a.jpg" width="1" height="1"></image>'))
    with pytest.raises(DataError, match="format cvat reads one"):
        taken(tmp_path)


@pytest.mark.parametrize("folder", ["images", "images/Validation", "."])
def test_pictures_are_found_where_cvat_puts_them(folder, tmp_path):
    file = put(tmp_path, IMAGES.replace('height="480"', 'height="480" subset="Validation"'))
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / "a b.jpg").write_bytes(b"there")

    made, reading, _ = taken(file, with_images=True)

    where = "" if folder == "." else f"{folder}/"
    assert set(made.instances["image"]) == {f"{where}a b.jpg"}
    assert reading.notes == ([f"pictures are in {where}, as CVAT exports them"] if where else [])
    write_back(CVAT, file, made, made, tmp_path / "back.xml")
    assert (tmp_path / "back.xml").read_bytes() == file.read_bytes()


def test_numbers_that_moved_are_replaced_in_their_place_and_style(tmp_path):
    points = '<points\n points = \'7.5, 8;9,10.125\' occluded="0"  label="face" />'
    images = IMAGES + f'<image id="3" name="ü.jpg" width="9" height="9">{points}</image>'
    file = put(tmp_path, images)
    made, _, _ = taken(file)
    moved = made.points.copy()
    moved[0, 2] += (1, 0.5)
    moved[1, 0] += (0, 0.25)

    write_back(CVAT, file, made, made.moved(moved, 1, {}, {}), tmp_path / "new.xml")

    text = file.read_text(encoding="utf-8")
    assert (tmp_path / "new.xml").read_text(encoding="utf-8") == (
        text.replace("30.00,31.50", "31.00,32.00").replace('"1,2"', '"1,2.250"')
    )
    file.write_text(text.replace("30.00,", "&#51;0.00,"))
    with pytest.raises(FormatError, match="numbers that are written with &"):
        write_back(CVAT, file, made, made.moved(moved, 1, {}, {}), tmp_path / "other.xml")


LISTS = """  <image id="0" name="a.jpg" width="64" height="48">
    <points label="eye" source="manual" occluded="0" points="1.000,2.000;3.500,4.000" z_order="0"></points>
    <points label="hat" source="manual" occluded="0" points="3.00,4.00;5,6;7,8" z_order="0"></points>
    <points label="eye" source="manual" occluded="1" points="9.000,2.000;3.500,4.000" z_order="0"></points>
  </image>
"""


@pytest.mark.parametrize("images", [SINGLE, LISTS])
def test_single_points_and_lists_are_written_back_too(images, tmp_path):
    file = put(tmp_path, images, "")
    scheme = None if images == SINGLE else parse_scheme('{"name": "two", "points": 2}', "two")
    made, _, _ = taken(file, scheme)
    after = made.moved(made.points + 1, 1, {}, {})

    write_back(CVAT, file, made, after, tmp_path / "new.xml")
    write_back(CVAT, tmp_path / "new.xml", after, made, tmp_path / "same.xml")

    again, _, _ = taken(tmp_path / "new.xml", scheme)
    np.testing.assert_array_equal(again.points, after.points)
    assert (tmp_path / "same.xml").read_bytes() == file.read_bytes()


def test_what_is_written_has_the_label_that_cvat_makes_of_it(tmp_path):
    scheme = parse_scheme('{"name": "a<b", "points": ["x\\"y", "&", "z"], "contours": [[0, 2, 1, 0]]}', "here")
    rows = [(f"{name}.jpg", 0, k, k + 1.5, 2.0, 64, 48) for name in ("a\n&", "b") for k in range(3)]
    table = make_set(
        pd.DataFrame(rows, columns=["image", "instance", "landmark", "x", "y", "width", "height"]),
        scheme, {}, "here",
    )  # fmt: skip
    write(CVAT, table, tmp_path / "out.xml")

    made, reading, lost = taken(tmp_path / "out.xml")

    assert reading.scheme.names == scheme.names
    assert reading.scheme.name == "a<b"
    assert reading.scheme.contours == ((0, 1, 2, 0),)
    assert set(made.instances["image"]) == {"a\n&.jpg", "b.jpg"}
    assert lost == {}
    assert looks_like(tmp_path / "out.xml")[0] is CVAT
    with pytest.raises(DataError, match="XML has no place for"):
        write(CVAT, table.with_columns(image=["\x01.jpg", "b.jpg"]), tmp_path / "other.xml")
    assert not (tmp_path / "other.xml").exists()


@pytest.mark.parametrize(
    ("edges", "contours"),
    [
        ([(0, 1), (1, 2)], [[0, 1, 2]]),
        ([(2, 1), (0, 2)], [[0, 2, 1]]),
        ([(0, 1), (1, 2), (2, 0)], [[0, 1, 2, 0]]),
        ([(0, 1), (1, 2), (1, 3), (4, 5)], [[4, 5]]),  # limbs of a body are no contour
        ([(3, 3)], []),
        ([(0, 1), (1, 0)], [[0, 1]]),
    ],
)
def test_edges_that_are_chains_are_contours(edges, contours):
    assert contours_of(edges)[0] == contours
