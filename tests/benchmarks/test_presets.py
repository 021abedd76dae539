"""What a preset costs is recorded: a change of sizes is a decision, never a side effect. 8 s, for IR-50 four times."""

import pytest

from benchmarks.presets import CASES, EXPERIMENTS, PARAMS, cost_of, main, whole_of

RECORDED = (
    (289_277, 18_922_848),  # tiny, none, own, 48 px
    (289_565, 34_481_920),  # tiny, none, own, 64 px
    (418_400, 26_300_768),  # tiny, own, own, 48 px
    (426_796, 84_087_168),  # small, none, own, 48 px
    (427_307, 150_856_576),  # small, none, own, 64 px
    (2_123_800, 396_935_424),  # base, none, own, 48 px
    (2_124_952, 708_753_408),  # base, none, own, 64 px
    (3_425_935, 808_556_544),  # base, own, own, 64 px
    (18_807_402, 5_469_151_232),  # paper, none, own, 224 px
    (24_124_920, 7_026_263_040),  # paper, own, own, 224 px
    (40_464_631, 13_678_720_256),  # paper, mobilefacenet, ir50, 112 px
    (40_464_631, 17_479_192_064),  # paper, mobilefacenet, ir50, 224 px
)


@pytest.mark.parametrize(("case", "recorded"), list(zip(CASES, RECORDED, strict=True)))
def test_what_a_preset_costs_is_known(case, recorded):
    assert cost_of(case) == recorded


WHOLE = {  # LLDif, and the plain recogniser
    "demo": ((432_412, 62_853_944), (290_412, 36_458_808)),
    "ferplus-mini": ((568_572, 98_705_480), (427_436, 84_788_808)),
    "ferplus-dev": ((568_572, 98_705_480), (427_436, 84_788_808)),
    "ferplus": ((568_572, 98_705_480), (427_436, 84_788_808)),
    "rafdb": ((571_099, 180_998_232), (429_099, 154_603_096)),
    "kdef": ((571_099, 180_998_232), (429_099, 154_603_096)),
    "paper": ((42_706_743, 14_848_628_056), (40_464_887, 13_679_373_656)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_a_params_file_trains_is_known(name):
    whole = whole_of(name)
    assert (whole.lldif, whole.plain) == WHOLE[name]


def test_every_params_file_with_a_model_of_its_own_has_its_rows():
    assert set(EXPERIMENTS) == {path.stem for path in PARAMS.glob("*.yaml") if path.stem != "live"} == set(WHOLE)


def test_the_table_has_a_row_for_each(capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.presets.CASES", CASES[:3])
    monkeypatch.setattr("benchmarks.presets.EXPERIMENTS", ("demo", "ferplus-mini"))
    monkeypatch.setattr("sys.argv", ["presets"])
    main()
    presets, wholes = capsys.readouterr().out.split("\n\n")
    assert [row.split("|")[1].strip() for row in wholes.splitlines()[2:]] == ["demo"] * 2 + ["ferplus-mini"] * 2
    rows = presets.splitlines()[2:]
    assert [cell.strip() for cell in rows[0].split("|")[4:-1]] == ["48 px grey", "289,277", "18.9"]
    assert len(rows) == 3
