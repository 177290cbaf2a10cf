"""The command line as a user meets it: what works, and every mistake as one line with exit code 1."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest

from lmk.cli import main
from lmk.store import alone, making, read_annotations, write_annotations
from tests.conftest import ROOT, SMALL

pytestmark = pytest.mark.usefixtures("every_peak_counts_in_module")
SMALLER = [word for setting in [*SMALL, "training.images=32", "refine.last=i01"] for word in ("--set", setting)]


@pytest.fixture(scope="module")
def cleaned(rendered, tmp_path_factory):
    """What `lmk clean` leaves."""
    out = tmp_path_factory.mktemp("cleaned") / "out"
    truth = f"data.truth={rendered}/truth/truth.csv"
    assert (
        main(["clean", str(rendered / "faces"), "--scheme", "ibug68", "--out", str(out), *SMALLER, "--set", truth]) == 0
    )
    return out


def fails(capsys, *arguments):
    """Run a command that has to fail; return its one line."""
    assert main([str(argument) for argument in arguments]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if re.match("lmk: ", line)]
    assert len(lines) == 1
    return lines[0]


def test_clean_leaves_labels_models_metrics_and_the_report(cleaned):
    assert {path.name for path in (cleaned / "annotations").iterdir()} == {"i00.parquet", "i01.parquet"}
    assert {path.name for path in (cleaned / "models").iterdir()} == {"i00", "i01"}
    assert json.loads((cleaned / "metrics.json").read_text())["labels"]["i01"]["interocular"]["nme"] > 0
    assert "<html" in (cleaned / "report" / "index.html").read_text()
    assert not list((cleaned / ".work").glob("*/checkpoint.safetensors"))


def test_a_folder_of_links_is_cleaned_where_links_are_allowed_and_refused_in_one_line_elsewhere(
    cleaned, rendered, faces, tmp_path, capsys
):
    for image in faces.rglob("*.jpg"):
        image.unlink()
        image.symlink_to(rendered / "faces" / image.relative_to(faces))
    out, follow = tmp_path / "out", ["--set", "data.links=follow"]
    assert "leads out of" in fails(capsys, "clean", faces, "--scheme", "ibug68", "--out", out, *SMALLER)
    assert not out.exists()

    assert main(["clean", str(faces), "--scheme", "ibug68", "--out", str(out), *SMALLER, *follow]) == 0
    for name in ("annotations/i01.parquet", "models/i01/model.safetensors", "labels.parquet"):
        assert (out / name).read_bytes() == (cleaned / name).read_bytes(), name
    labels, model = out / "labels.parquet", out / "models" / "i01"
    for command in (
        ["train", labels, "--images", faces, "-o", tmp_path / "model", *SMALLER],
        ["refine", labels, "--images", faces, "--model", model, "-o", tmp_path / "next.parquet", *SMALLER],
        ["evaluate", labels, "--images", faces, "--model", model],
    ):
        assert "a link that leads out of" in fails(capsys, *command)
        assert main([str(word) for word in [*command, *follow]]) == 0


def test_clean_says_first_what_it_does_and_last_what_came_of_it(rendered, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["clean", str(rendered / "faces"), "--out", str(out), *SMALLER]) == 0
    said = capsys.readouterr()

    steps = [
        "i00  detector: train on human labels, 32 images seen",
        "i01  labels: search with align; detector: train on,",
    ]
    plan = [
        said.err.index(text) for text in ("20 instances with 1,360 points", *steps, "searching take at most about ")
    ]
    assert plan == sorted(plan)
    assert plan[-1] < said.err.index("baseline: ")
    table, _, end = said.out.partition("\n\n")
    assert table.splitlines()[-1].startswith("i01 ")
    lines = end.splitlines()
    assert re.match(r"i01: [\d,]+ of 816 points moved; the distance is \d+\.\d\d px on average", lines[0])
    assert lines[1] == "Nobody looked for mistakes among the human points; refiner align does not."
    assert lines[-1] == f"Report: {out}/report/index.html"


def test_clean_leaves_the_audit_and_the_labels_that_hold(cleaned):
    assert json.loads((cleaned / "audit.json").read_text())["gates"]
    held, last = (read_annotations(cleaned / name) for name in ("labels.parquet", "annotations/i01.parquet"))
    np.testing.assert_array_equal(held.points, last.points)


def test_an_audit_says_what_moved_and_a_broken_gate_is_exit_code_3(cleaned, capsys):
    assert main(["audit", str(cleaned), "--by", "contour", "--set", "audit.gates={}"]) == 0
    text = capsys.readouterr().out
    assert "i01" in text
    assert "jaw" in text
    assert "0 gates hold" in text

    fail_on = ["--fail-on", "drift >= 0", "--fail-on", "avg(drift) > 1e9", "--fail-on", "SELECT true"]
    assert main(["audit", str(cleaned), "--json", "--set", "audit.gates={far: percent < 0}", *fail_on]) == 3
    said = capsys.readouterr()
    gates = {gate["name"]: gate["broken"] for gate in json.loads(said.out)["gates"]}
    assert gates == {
        "far": False, "drift >= 0": True, "avg(drift) > 1e9": False, "SELECT true": True,
    }  # fmt: skip
    lines = [line for line in said.err.splitlines() if line.startswith("lmk: gate")]
    assert lines == ["lmk: gate broken: drift >= 0 (816 points)", "lmk: gate broken: SELECT true"]


def test_a_gate_that_could_not_be_judged_is_a_warning_and_no_failure(cleaned, capsys):
    gates = "audit.gates={far: percent < 0, repeated: avg(repeats) > 1}"

    assert main(["audit", str(cleaned), "--set", gates]) == 0
    said = capsys.readouterr()

    assert said.err == "warning: gate repeated could not be judged: repeats is empty in i01\n"
    assert said.out.endswith("1 gate holds, 1 could not be judged\n")
    assert main(["audit", str(cleaned), "--json", "--set", gates]) == 0
    assert [gate.get("unjudged") for gate in json.loads(capsys.readouterr().out)["gates"]] == [
        None, "repeats is empty in i01",
    ]  # fmt: skip


def test_questions_are_answered_as_a_table_and_as_json(cleaned, capsys):
    question = "SELECT iteration, count(*) AS n FROM points GROUP BY iteration ORDER BY iteration"
    assert main(["query", str(cleaned), question]) == 0
    assert capsys.readouterr().out.split() == ["iteration", "n", "i00", "1360", "i01", "1360"]
    assert main(["query", str(cleaned), question, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1] == {"iteration": "i01", "n": 1360}
    assert main(["query", str(cleaned / "annotations"), "SELECT x FROM points WHERE false"]) == 0
    assert capsys.readouterr().out == "no rows\n"
    assert main(["query", str(cleaned), "SELECT * FROM range(1234)", "--rows", "34"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 35
    assert said.err == "warning: 1,200 of 1,234 rows were left out; --rows shows more\n"
    assert "an answer of 1,234 rows" in fails(
        capsys, "query", cleaned, "SELECT * FROM range(1234)", "--rows", 34, "--json"
    )
    assert "no answer within 1 s" in fails(
        capsys, "query", cleaned, "SELECT sum(range) FROM range(100000000000)", "--seconds", 1
    )
    assert "not one SELECT" in fails(capsys, "query", cleaned, "DROP TABLE points")
    assert "no annotations/i00.parquet in it" in fails(capsys, "query", cleaned / "models", "SELECT 1")
    assert "no such folder" in fails(capsys, "query", cleaned / "nowhere", "SELECT 1")
    assert "text in UTF-8" in fails(capsys, "query", cleaned, "SELECT '\udcff'")


def test_any_value_that_sql_has_can_be_printed_as_json(cleaned, capsys):
    question = """
        SELECT uuid() AS u, TIMESTAMP '2026-01-02 03:04:05' AS t, TIME '01:02:03' AS c, 1.5::DECIMAL(5, 2) AS d,
               [1, 2] AS l, NULL AS n, 'nan'::DOUBLE AS f, 'ü' AS s, true AS b, 7::HUGEINT AS h
    """
    assert main(["query", str(cleaned), question, "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["l"], row["n"], row["f"], row["s"], row["b"], float(row["h"])) == ([1, 2], None, None, "ü", True, 7)
    assert row["t"].startswith("2026-01-02")


def test_decisions_go_into_the_labels_and_can_be_taken_back(cleaned, tmp_path, capsys):
    folder, out = shutil.copytree(cleaned, tmp_path / "out"), tmp_path / "held.parquet"
    human, last = (read_annotations(folder / f"annotations/{name}.parquet") for name in ("i00", "i01"))
    train = last.in_split("train")

    assert main(["revert", str(folder), "--where", "landmark < 5", "--reason", "beards", "--dry-run"]) == 0
    assert not list((folder / "decisions").glob("*/*.parquet"))
    assert main(["revert", str(folder), "--where", "landmark < 5", "--reason", "beards"]) == 0
    assert main(["accept", str(folder), "--where", "landmark = 2", "--by", "me"]) == 0
    assert main(["labels", str(folder), "-o", str(out)]) == 0

    held = read_annotations(out)
    back = [0, 1, 3, 4]
    np.testing.assert_array_equal(held.points[:, back], human.points[:, back])
    np.testing.assert_array_equal(held.points[:, [2, *range(5, 68)]], last.points[:, [2, *range(5, 68)]])
    assert (held.points[train][:, 2] != human.points[train][:, 2]).any()
    assert "100 points as they were decided" in capsys.readouterr().out
    assert "no point of i01 meets it" in fails(capsys, "accept", folder, "--where", "landmark = 99")
    assert "--where lndmark = 1: " in fails(capsys, "accept", folder, "--where", "lndmark = 1")
    assert "an empty condition" in fails(capsys, "accept", folder, "--where", " ")


def test_nothing_is_ever_written_among_the_iterations(cleaned, capsys):
    before = (cleaned / "annotations" / "i01.parquet").read_bytes()

    for name in ("i01", "i02"):
        target = cleaned / "annotations" / f"{name}.parquet"
        for command in ("labels", "ambiguity"):
            assert "iterations are never changed" in fails(capsys, command, cleaned, "-o", target)

    assert (cleaned / "annotations" / "i01.parquet").read_bytes() == before
    assert not (cleaned / "annotations" / "i02.parquet").exists()


def test_clean_again_trains_and_searches_nothing(rendered, cleaned, capsys):
    truth = f"data.truth={rendered}/truth/truth.csv"
    before = {path: path.read_bytes() for path in cleaned.rglob("*.parquet")}

    assert main(["clean", str(rendered / "faces"), "--out", str(cleaned), *SMALLER, "--set", truth]) == 0

    said = capsys.readouterr()
    assert not any(f"{work}:" in said.err or f"{work} for" in said.err for work in ("baseline", "searching labels"))
    assert "labels of align: are there; detector: is there" in said.err
    assert "trying how fast" not in said.err
    assert before == {path: path.read_bytes() for path in cleaned.rglob("*.parquet")}


def test_a_folder_in_which_another_run_is_at_work_is_left_alone(rendered, tmp_path, capsys):
    out = tmp_path / "out"
    assert "nowhere" in fails(capsys, "clean", tmp_path / "nowhere", "--out", out, *SMALLER)
    assert not out.exists()
    with alone(out):
        said = fails(capsys, "clean", rendered / "faces", "--out", out, *SMALLER)
    assert "another process is at work there" in said
    assert not (out / "annotations").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["render", "TARGET", "--count", 2, "--size", 64],
        ["ingest", "FACES", "-o", "TARGET"],
        ["train", "CLEANED/annotations/i00.parquet", "--images", "FACES", "-o", "TARGET", *SMALLER],
        ["refine", "CLEANED/annotations/i00.parquet", "--model", "CLEANED/models/i00", "--images", "FACES",
         "-o", "TARGET", *SMALLER],
        ["export", "CLEANED/labels.parquet", "--format", "pts", "-o", "TARGET"],
        ["export", "CLEANED/labels.parquet", "--format", "csv", "-o", "TARGET"],
        ["labels", "CLEANED", "-o", "TARGET"],
        ["ambiguity", "CLEANED", "-o", "TARGET"],
    ],
    ids=lambda command: "-".join(map(str, command[:1])),
)  # fmt: skip
def test_of_two_commands_that_make_one_target_the_second_says_so(command, rendered, cleaned, tmp_path, capsys):
    target = tmp_path / "deep" / "target"
    places = {"TARGET": target, "FACES": rendered / "faces"}
    command = [str(places.get(word, word)).replace("CLEANED", str(cleaned)) for word in command]

    with making(target):
        said = fails(capsys, *command)

    assert said == f"lmk: {target}: another process is at work there; wait for it, or name another place"
    assert list(tmp_path.iterdir()) == []


def test_a_shorter_schedule_leaves_no_iteration_of_the_longer_one_and_other_labels_are_refused(
    rendered, faces, cleaned, tmp_path, capsys
):
    out = shutil.copytree(cleaned, tmp_path / "out")
    arguments = ["clean", str(rendered / "faces"), "--out", str(out), *SMALLER]
    assert main([*arguments, "--set", "refine.last=i02"]) == 0
    assert len(list((out / "annotations").iterdir())) == 3
    assert main(arguments) == 0
    assert len(list((out / "annotations").iterdir())) == len(list((out / "models").iterdir())) == 2
    (faces / "test" / "000000.pts").unlink()

    assert "made of other labels or images" in fails(capsys, "clean", faces, "--out", out, *SMALLER)


def test_log_lists_the_iterations(cleaned, capsys):
    assert main(["log", str(cleaned)]) == 0
    text = capsys.readouterr().out
    assert main(["log", str(cleaned), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)

    assert "i00" in text
    assert "i01" in text
    assert [row["name"] for row in rows] == ["i00", "i01"]
    assert rows[1]["parent"] == "i00"
    assert rows[1]["px"]["p95"] >= rows[1]["px"]["mean"] > 0


def test_diff_says_how_far_labels_are_from_the_truth(rendered, cleaned, tmp_path, capsys):
    truth = tmp_path / "truth.parquet"
    source = rendered / "truth" / "truth.csv"
    assert main(["ingest", str(source), "--format", "csv", "--scheme", "ibug68", "--no-images", "-o", str(truth)]) == 0
    capsys.readouterr()

    assert main(["diff", str(truth), str(cleaned / "annotations" / "i00.parquet"), "--json"]) == 0

    result = json.loads(capsys.readouterr().out)
    assert result["points"] == 20 * 68
    assert len(result["by_landmark"]) == 68
    assert result["along"]["mean"] > result["across"]["mean"]  # annotators slide along contours


def test_train_refine_and_evaluate_one_by_one_do_what_clean_does(rendered, cleaned, tmp_path, capsys):
    images, human = rendered / "faces", cleaned / "annotations" / "i00.parquet"
    model, refined = tmp_path / "model", tmp_path / "i01.parquet"

    assert main(["train", str(human), "--images", str(images), "-o", str(model), *SMALLER]) == 0
    search = ["refine", str(human), "--refiner", "align", "--model", str(model), "--images", str(images)]
    assert main([*search, "-o", str(refined), *SMALLER]) == 0
    truth = str(rendered / "truth" / "truth.csv")
    capsys.readouterr()
    assert main(["evaluate", str(refined), "--truth", truth]) == 0
    labels = json.loads(capsys.readouterr().out)
    assert main(["evaluate", str(human), "--model", str(model), "--images", str(images), "--truth", truth]) == 0
    predictions = json.loads(capsys.readouterr().out)

    by_clean = cleaned / "annotations" / "i01.parquet"
    assert (model / "model.safetensors").read_bytes() == (cleaned / "models" / "i00" / "model.safetensors").read_bytes()
    np.testing.assert_array_equal(read_annotations(refined).points, read_annotations(by_clean).points)
    assert labels["interocular"] == json.loads((cleaned / "metrics.json").read_text())["labels"]["i01"]["interocular"]
    assert predictions["truth"]["points"] == 4 * 68


def test_render_writes_faces_and_truth_apart(tmp_path, capsys):
    out = tmp_path / "faces"
    assert main(["render", str(out), "--count", "3", "--seed", "1", "--size", "48", "--noise", "annotators"]) == 0

    assert len(list((out / "faces").glob("*.pts"))) == len(list((out / "faces").glob("*.jpg"))) == 3
    assert (out / "truth" / "truth.csv").read_text().count("\n") == 3 * 68 + 1
    assert str(out) in fails(capsys, "render", out, "--count", 3)
    assert "add up to --count 3" in fails(capsys, "render", tmp_path / "b", "--count", 3, "--splits", "train=2,val=2")
    assert "unknown noise 'loud'; known: " in fails(capsys, "render", tmp_path / "b", "--count", 3, "--noise", "loud")


def test_refined_labels_can_be_taken_elsewhere_and_come_back(cleaned, tmp_path, capsys):
    refined = cleaned / "annotations" / "i01.parquet"
    assert main(["export", str(refined), "--to", "pts", "-o", str(tmp_path / "pts")]) == 0
    assert "pts: lost: names of landmarks (68; the first: landmark 0 is jaw_00)" in capsys.readouterr().err
    assert main(["export", str(refined), "--format", "csv", "-o", str(tmp_path / "labels.csv")]) == 0
    for source, form in (("pts", "pts"), ("labels.csv", "csv")):
        back = tmp_path / f"{form}.parquet"
        assert main(["ingest", str(tmp_path / source), "--format", form, "--no-images", "-o", str(back)]) == 0
        capsys.readouterr()
        assert main(["diff", str(refined), str(back), "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert (result["points"], result["moved"], result["px"]["max"]) == (20 * 68, 0, 0)

    assert "unknown format 'cocoa'" in fails(capsys, "export", refined, "--to", "cocoa", "-o", tmp_path / "x")
    assert main(["export", str(refined), "--to", "pts", "--strict", "-o", str(tmp_path / "x")]) == 3
    assert "not written as pts: lost: names of landmarks" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    with pytest.raises(SystemExit):
        main(["export", str(refined), "-o", str(tmp_path / "x")])


def test_an_unparsable_command_line_is_exit_code_2(capsys):
    with pytest.raises(SystemExit) as error:
        main(["clean"])
    assert error.value.code == 2


def cut(path):
    path.write_bytes(path.read_bytes()[:900])


def break_pts(faces, change):
    path = faces / "train" / "000002.pts"
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda faces: shutil.rmtree(faces), "faces: no such file or folder"),
        (lambda faces: [path.unlink() for path in faces.rglob("*.pts")], "looks like no format that lmk knows"),
        (lambda faces: (faces / "train" / "000002.jpg").unlink(), "000002.pts: no image beside it"),
        (lambda faces: (faces / "train" / "000002.jpg").write_bytes(b"no"), "000002.jpg: not an image"),
        (
            lambda faces: cut(faces / "train" / "000002.jpg"),
            "000002.jpg: truncated",
        ),
        (lambda faces: break_pts(faces, lambda text: text.replace(": 68", ": 67")), "declares 67 points"),
        (lambda faces: break_pts(faces, lambda text: text.replace("{\n", "{\nx", 1)), "000002.pts: not a whole .pts"),
        (lambda faces: break_pts(faces, lambda text: re.sub(r"\n[\d.]+ ", "\nnan ", text, count=1)), "point 0 is not"),
        (lambda faces: break_pts(faces, lambda text: text[:300]), "000002.pts: not a whole .pts file"),
        (lambda faces: break_pts(faces, lambda text: re.sub(r"\n[\d.]+ ", "\n900 ", text, count=1)), "000002.jpg"),
        (
            lambda faces: [shutil.copy(faces / "train" / f"000002.{end}", faces / "test" / f"x.{end}")
                           for end in ("jpg", "pts")],
            "the same image and object",
        ),
    ],
)  # fmt: skip
def test_bad_data_is_one_line_that_names_the_place_and_leaves_what_was_there(
    faces, cleaned, tmp_path, capsys, change, says
):
    out = shutil.copytree(cleaned, tmp_path / "out")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and ".work" not in path.parts}
    change(faces)

    line = fails(capsys, "clean", faces, "--out", out, *SMALLER)

    assert says in line
    after = {path: path.read_bytes() for path in before if path.is_file() and "data_docs" not in path.parts}
    assert after == {path: content for path, content in before.items() if "data_docs" not in path.parts}


def test_a_point_far_outside_stops_at_the_door_and_the_rejected_set_can_be_looked_at(faces, tmp_path, capsys):
    break_pts(faces, lambda text: re.sub(r"\n[\d.]+ ", "\n900 ", text, count=1))

    line = fails(capsys, "ingest", faces, "-o", tmp_path / "set.parquet")

    assert "train/000002.jpg" in line
    assert not (tmp_path / "set.parquet").exists()
    assert (tmp_path / "rejected" / "set.parquet").is_file()
    assert "FAIL" in (tmp_path / "rejected" / "set.txt").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--scheme", "ibug86"], "unknown scheme 'ibug86'; known: aflw19"),
        (["--scheme", "nowhere.json"], "nowhere.json: no such scheme file"),
        (["--scheme", "wflw98"], "68 points, but scheme wflw98 has 98"),
        (["--format", "cocoa"], "unknown format 'cocoa'; known: 300w-lp, aflw, coco, "),
        (["--params", "nowhere.yaml"], "nowhere.yaml: no such parameter file"),
        (["--set", "refiners.align.prior_wieght=1"], "unknown key; known: floor"),
        (["--set", "refiners.align.prior_weight=-1"], "greater than or equal to 0, not -1"),
        (["--set", "training.images=many"], "training.images: input should be a valid integer, not 'many'"),
        (["--set", "data.truth=nowhere.csv"], "nowhere.csv: no such file"),
        (["--set", "refine.schedule.i01.refiner=foo"], "unknown refiner 'foo'; known in section refiners: align"),
        (["--set", "refiners.align.window=4000"], "less than or equal to 128, not 4000"),
    ],
)
def test_a_wrong_name_or_parameter_is_one_line(rendered, tmp_path, capsys, options, says):
    assert says in fails(capsys, "clean", rendered, "--out", tmp_path / "out", *SMALLER, *options)
    assert not (tmp_path / "out" / "annotations").exists()


def test_an_output_that_cannot_be_written_is_one_line(rendered, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")

    line = fails(capsys, "ingest", rendered / "faces", "-o", tmp_path / "file" / "set.parquet")

    assert str(tmp_path / "file") in line


def test_a_normaliser_that_the_scheme_lacks_is_found_before_anything_is_trained(rendered, tmp_path, capsys):
    settings = ["--set", f"data.truth={rendered}/truth/truth.csv", "--set", "evaluation.normaliser=eyes"]

    line = fails(capsys, "clean", rendered / "faces", "--out", tmp_path / "out", *SMALLER, *settings)

    assert "'eyes'; known: box, image, interocular, interpupil" in line
    assert not (tmp_path / "out" / "models").exists()


def test_a_disk_that_is_full_is_one_line_and_leaves_nothing_half_written(rendered, tmp_path):
    """The system refuses to make files larger than some bytes: for a program that is a disk that is full."""
    command = [sys.executable, "-m", "lmk", "ingest", str(rendered / "faces"), "--format", "pts",
               "-o", str(tmp_path / "set.parquet")]  # fmt: skip

    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )  # fmt: skip

    assert done.returncode == 1, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("reading labels")]
    assert len(said) == 1, done.stderr
    assert "nothing was left half written" in said[0]
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_lacks_memory_says_what_to_make_smaller(rendered, cleaned, tmp_path):
    code = (
        "import resource, sys\nfrom pathlib import Path\nimport lmk.training.fit, lmk.training.starting\n"
        "from lmk.cli import main\n"
        "[has] = [line.split()[1] for line in Path('/proc/self/status').read_text().splitlines() if 'VmSize' in line]\n"
        "limit = (int(has) << 10) + (1 << 30)\nresource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    labels, target = cleaned / "annotations" / "i00.parquet", tmp_path / "model"
    large = ["--set", "training.batch=256", "--set", "model.width=128", "--set", "model.input_size=128"]
    command = ["train", str(labels), "--images", str(rendered / "faces"), "-o", str(target), *SMALLER, *large]

    done = subprocess.run([sys.executable, "-c", code, *command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 1, done.stderr
    assert re.fullmatch(
        r"lmk: training: not enough memory( for [\d.]+ \w+ more)?; make training.batch, model.input_size or the network"
        " smaller\n",
        done.stderr,
    ), done.stderr
    assert not target.exists()


def test_damaged_and_foreign_files_are_one_line(rendered, human, cleaned, tmp_path, capsys):
    whole = (cleaned / "annotations" / "i00.parquet").read_bytes()
    half, wing = tmp_path / "half.parquet", tmp_path / "wing.parquet"
    half.write_bytes(whole[: len(whole) // 2])
    (tmp_path / "wing.json").write_text('{"name": "wing", "points": 68}')
    images, model = rendered / "faces", cleaned / "models" / "i00"
    arguments = ["ingest", rendered / "faces", "--scheme", tmp_path / "wing.json", "-o", wing]
    assert main([str(argument) for argument in arguments]) == 0

    assert "not a whole Parquet file" in fails(capsys, "diff", half, cleaned / "annotations" / "i00.parquet")
    assert "no such annotation set" in fails(capsys, "train", tmp_path / "no", "--images", images, "-o", tmp_path / "m")
    refine = ["refine", wing, "--model", model, "--images", images, "-o", tmp_path / "out.parquet"]
    assert "trained for scheme ibug68 (68 points)" in fails(capsys, *refine)
    assert "differ" in fails(capsys, "diff", wing, cleaned / "annotations" / "i00.parquet")
    assert "no annotations/i00.parquet in it" in fails(capsys, "log", tmp_path)
    assert "nothing to measure against" in fails(capsys, "evaluate", cleaned / "annotations" / "i00.parquet")
    refine = [
        "refine",
        cleaned / "annotations" / "i00.parquet",
        "--model",
        model,
        "--images",
        images,
        "-o",
        tmp_path / "x",
    ]
    assert "unknown refiner 'foo'; known in section refiners of the parameters: consensus" in fails(
        capsys, *refine, "--refiner", "foo"
    )
    unlabelled = human.select(human.in_split("train"))
    write_annotations(unlabelled, tmp_path / "train.parquet")
    line = fails(capsys, "evaluate", tmp_path / "train.parquet", "--model", model, "--images", images)
    assert "no instances in split test" in line
    assert not (tmp_path / "out.parquet").exists()
