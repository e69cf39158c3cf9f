"""Presets and what a recipe changes in them: every mistake has a clear answer."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from pydantic import ValidationError

from firn.core.errors import InputError, RecipeError
from firn.core.hashing import fingerprint
from firn.data.filter import MAX_BOUNDS, Bound
from firn.data.measure import Edit, MeasureSettings, Point
from firn.data.preset import names
from firn.data.rules import RulesSettings, load

MINIMAL = {
    "about": "a test",
    "sources": {"me": "me, 2026"},
    "steps": [{"point": "raw", "families": ["words"]}, {"edit": "strip_text", "rule": "my.edit", "source": "me"}],
    "bounds": [{"rule": "my.words", "signal": "raw/words.count", "at_least": 3, "source": "me"}],
}


def written(folder: Path, name: str = "mine.yaml", **changes: object) -> str:
    path = folder / name
    path.write_text(yaml.safe_dump({**MINIMAL, **changes}))
    return str(path)


@pytest.mark.parametrize("name", names())
def test_every_preset_loads_and_cites(name: str) -> None:
    rules = load(name)
    cited = {bound.rule for bound in rules.bounds} | {edit.rule for edit in rules.measure.edits}
    assert cited <= rules.sources.keys()
    assert all(len(source) > 20 for source in rules.sources.values())
    assert {bound.signal for bound in rules.bounds} <= {*rules.measure.columns, "language", "language_score"}


def test_fineweb_has_the_published_limits() -> None:
    """Penedo et al. 2024; Rae et al. 2021, table A1 and A1.1; Raffel et al. 2020."""
    limits = {b.rule: b.among or (b.at_least if b.at_least is not None else b.at_most) for b in load("fineweb").bounds}
    assert limits == {
        "url.listed": 0,
        "url.words": 1,
        "url.subwords": 1,
        "language.accepted": ("en", "eng_Latn"),
        "language.score": 0.65,
        "gopher.dup_lines": 0.3,
        "gopher.dup_paragraphs": 0.3,
        "gopher.dup_line_characters": 0.2,
        "gopher.dup_paragraph_characters": 0.2,
        "gopher.top_2_gram": 0.2,
        "gopher.top_3_gram": 0.18,
        "gopher.top_4_gram": 0.16,
        **{f"gopher.dup_{n}_grams": (20 - n) / 100 for n in range(5, 11)},
        "gopher.min_words": 50,
        "gopher.max_words": 100_000,
        "gopher.min_mean_word_length": 3,
        "gopher.max_mean_word_length": 10,
        "gopher.hash_signs": 0.1,
        "gopher.ellipses": 0.1,
        "gopher.bullet_lines": 0.9,
        "gopher.ellipsis_lines": 0.3,
        "gopher.words_with_letter": 0.8,
        "gopher.stop_words": 2,
        "c4.lorem_ipsum": 0,
        "c4.curly_bracket": 0,
        "c4.min_sentences": 5,
        "fineweb.punctuated_lines": 0.12,
        "fineweb.short_lines": 0.67,
        "fineweb.char_duplicates": 0.01,
        "fineweb.newlines": 0.3,
    }
    assert "drop_lines.no_terminal_punctuation" not in {edit.edit for edit in load("fineweb").measure.edits}


def test_the_order_is_the_published_order() -> None:
    families = [rule.rule.split(".")[0] for rule in load("fineweb").bounds]
    assert list(dict.fromkeys(families)) == ["url", "language", "gopher", "c4", "fineweb"]
    rules = [bound.rule for bound in load("fineweb").bounds]
    assert rules.index("gopher.dup_10_grams") < rules.index("gopher.min_words")


def test_a_moved_bound_changes_the_decision_only() -> None:
    plain = RulesSettings(preset="fineweb")
    moved = RulesSettings(preset="fineweb", bounds={"gopher.min_words": 30}, off={"fineweb.newlines": "lists are fine"})
    assert fingerprint(plain.measure) == fingerprint(moved.measure)
    assert fingerprint(plain.filter) != fingerprint(moved.filter)
    before, after = ({b.rule: b for b in r.filter.bounds} for r in (plain, moved))
    assert before.keys() - after.keys() == {"fineweb.newlines"}
    assert (before["gopher.min_words"].at_least, after["gopher.min_words"].at_least) == (50, 30)


def test_a_source_can_be_reworded_without_running_anything_again(tmp_path: Path) -> None:
    before = RulesSettings(preset=written(tmp_path))
    reworded = RulesSettings(preset=written(tmp_path, "other.yaml", about="other", sources={"me": "somebody else"}))
    assert fingerprint([before.measure, before.filter]) == fingerprint([reworded.measure, reworded.filter])


def test_languages_can_be_chosen() -> None:
    rules = RulesSettings(preset="fineweb", bounds={"language.accepted": ("de", "fr"), "language.score": 0.8})
    bounds = {bound.rule: bound for bound in rules.filter.bounds}
    assert bounds["language.accepted"].among == ("de", "fr")
    assert bounds["language.score"].at_least == 0.8


@pytest.mark.parametrize(
    ("settings", "key", "mend"),
    [
        ({"preset": "finweb"}, "preset", "'fineweb'"),
        ({"preset": "fineweb", "off": {"gopher.min_word": "x"}}, "gopher.min_word", "'gopher.min_words'"),
        ({"preset": "fineweb", "bounds": {"c4.curly": 1}}, "c4.curly", "'c4.curly_bracket'"),
        ({"preset": "fineweb", "off": {"c4.curly_bracket": " "}}, "c4.curly_bracket", "why"),
        ({"preset": "fineweb", "bounds": {"language.accepted": 0.5}}, "language.accepted", "list of languages"),
        ({"preset": "fineweb", "bounds": {"gopher.min_words": ("en",)}}, "gopher.min_words", "a number"),
        ({"preset": "no/such.yaml"}, None, "path"),
        ({"preset": "none", "off": {"gopher.min_words": "x"}}, "gopher.min_words", "there are none"),
    ],
)
def test_mistakes_in_a_recipe(settings: dict[str, object], key: str | None, mend: str) -> None:
    with pytest.raises(RecipeError) as caught:
        RulesSettings(**settings)  # type: ignore[arg-type]
    assert caught.value.key == key
    assert mend in (caught.value.mend or "")


def _bound(**changes: object) -> list[dict[str, object]]:
    return [{**MINIMAL["bounds"][0], **changes}]  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("changes", "problem", "mend"),
    [
        ({"bounds": _bound(signal="raw/words.cont")}, "unknown signal 'raw/words.cont'", "'raw/words.count'"),
        ({"bounds": _bound(signal="rw/words.count")}, "unknown signal", "'raw/words.count'"),
        ({"bounds": _bound(signal="raw/lines.count")}, "not measured", "add 'lines'"),
        ({"bounds": _bound() * 2}, "twice", "otherwise"),
        ({"bounds": _bound(source="you")}, "unknown source 'you'", "me"),
        ({"bounds": _bound(at_most=9)}, "exactly one of", "presets"),
        ({"bounds": _bound(atleast=9)}, "unknown key", "'at_least'"),
        ({"bounds": _bound(signal="language")}, "among is for", "presets"),
        ({"steps": [{"edit": "strip_txt", "rule": "r", "source": "me"}]}, "unknown edit 'strip_txt'", "'strip_text'"),
        ({"steps": [{"point": "raw", "families": ["word"]}]}, "unknown family 'word'", "'words'"),
        ({"steps": MINIMAL["steps"] * 2}, "is there twice", "otherwise"),  # type: ignore[operator]
        ({"bonds": []}, "unknown key", "'bounds'"),
        ({"off": {"my.word": "x"}}, "no rule", "'my.words'"),
        ({"extends": "fineweeb"}, "unknown preset", "'fineweb'"),
        ({"bounds": [{**b, "rule": f"r{i}"} for i, b in enumerate(_bound() * (MAX_BOUNDS + 1))]}, "more than", "away"),
    ],
)  # fmt: skip
def test_mistakes_in_a_preset(tmp_path: Path, changes: dict[str, object], problem: str, mend: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(written(tmp_path, **changes))
    assert problem in caught.value.problem
    assert mend in (caught.value.mend or "")


def test_a_preset_extends_another(tmp_path: Path) -> None:
    path = tmp_path / "child.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "about": "FineWeb for lists",
                "extends": "fineweb",
                "off": {"fineweb.newlines": "lists are what we want"},
                "changed": {"gopher.bullet_lines": {"limit": 0.95, "reason": "the same"}},
                "sources": {"me": "me, 2026"},
                "bounds": [{"rule": "my.words", "signal": "edited/words.count", "at_least": 9, "source": "me"}],
            }
        )
    )
    rules, base = load(str(path)), load("fineweb")
    assert rules.measure == base.measure
    assert [b.rule for b in rules.bounds] == [b.rule for b in base.bounds if b.rule != "fineweb.newlines"] + [
        "my.words"
    ]
    assert {b.rule: b.at_most for b in rules.bounds}["gopher.bullet_lines"] == 0.95
    with pytest.raises(RecipeError, match="off already: lists are what we want"):
        RulesSettings(preset=str(path), off={"fineweb.newlines": "again"})


def test_presets_that_extend_one_another_in_a_circle(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump({"about": "a", "extends": str(path)}))
    with pytest.raises(RecipeError, match="circle"):
        load(str(path))


@pytest.mark.parametrize("text", ["- a list", "a: [", "about: 3\nsteps: 1"])
def test_a_file_that_is_no_preset(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(RecipeError):
        load(str(tmp_path / "x.yaml"))


def test_columns_are_in_the_order_of_steps() -> None:
    settings = MeasureSettings(
        steps=(
            Point(point="a", families=("words",)),
            Edit(edit="strip_text", rule="e"),
            Point(point="b", families=("characters",)),
        )
    )
    assert settings.columns[0] == "a/words.count"
    assert settings.columns[-1] == "b/phrases.lorem_ipsum.count"
    assert settings.model_validate_json(settings.model_dump_json()) == settings


def test_a_bound_has_one_limit() -> None:
    with pytest.raises(ValidationError):
        Bound(rule="r", signal="s")


def test_an_edit_can_be_switched_off_and_then_measures_again() -> None:
    plain, changed = RulesSettings(preset="fineweb"), RulesSettings(preset="fineweb", off={"c4.javascript": "web docs"})
    assert {e.rule for e in plain.measure.edits} - {e.rule for e in changed.measure.edits} == {"c4.javascript"}
    assert fingerprint(plain.measure) != fingerprint(changed.measure)
    with pytest.raises(RecipeError, match="no rule in force"):
        RulesSettings(preset="fineweb", bounds={"c4.javascript": 1})


def test_limits_by_language(tmp_path: Path) -> None:
    rules = load("fineweb2")
    bounds = {bound.rule: bound for bound in rules.bounds}
    assert bounds["gopher.max_mean_word_length"].limit_for("de") == 15
    assert bounds["gopher.max_mean_word_length"].limit_for("deu_Latn") == 15
    assert bounds["gopher.max_mean_word_length"].limit_for("xx") == 10
    assert bounds["language.score"].limit_for("de") == 0.65
    assert bounds["language.score"].limit_for("deu_Latn") == 0.821
    assert rules.measure.stop_words["de"] == rules.measure.stop_words["deu_Latn"]
    assert set(bounds["language.accepted"].among or ()) == rules.measure.stop_words.keys()


def test_limits_of_the_code_preset_by_language() -> None:
    """Lozhkov et al. 2024, arXiv:2402.19173, section 2.1; of JSON and YAML StarCoder's visual_inspection.csv."""
    bounds = {bound.rule: bound for bound in load("code").bounds}
    long = {"HTML", "JSON", "Markdown", "Roff", "Roff Manpage", "SMT", "TeX", "Text", "XML"}
    for rule, limit in (("code.max_line_length", 1000), ("code.mean_line_length", 100)):
        assert {language for language, most in bounds[rule].by_language.items() if most == 100_000} == long
        assert {bounds[rule].limit_for(language) for language in ("CMake", "SQL", "Assembly", None)} == {limit}
    few = {"Text", "JSON", "YAML", "Web Ontology Language", "Graphviz (DOT)"}
    assert bounds["code.max_lines"].by_language == dict.fromkeys(few, 512)
    letters = bounds["code.letters"]
    assert [letters.limit_for(each) for each in ("Assembly", "WebAssembly", "Motorola 68K Assembly")] == [0.25, 0, 0]
    assert [letters.limit_for(each) for each in ("JSON", "YAML", "Python")] == [0.5, 0.5, 0.25]


def test_stop_words_alone_go_with_any_preset(tmp_path: Path) -> None:
    bound = {"rule": "stop", "signal": "page/stop_words.fraction", "at_least": 0.06, "source": "me"}
    steps = [{"point": "page", "families": ["stop_words", "words"]}]
    rules = load(written(tmp_path, languages="stop_words", steps=steps, bounds=[bound]))
    assert "page/stop_words.fraction" in rules.measure.columns
    assert {"the", "of"} < set(rules.measure.stop_words["en"]) == set(rules.measure.stop_words["eng_Latn"])
    others = {code: words for code, words in rules.measure.stop_words.items() if code not in ("en", "eng_Latn")}
    assert others == load("fineweb2").measure.stop_words


def test_a_number_holds_for_all_languages_and_numbers_by_language_for_those() -> None:
    plain = RulesSettings(preset="fineweb2", bounds={"gopher.min_mean_word_length": 2})
    some = RulesSettings(preset="fineweb2", bounds={"gopher.min_mean_word_length": {"de": 4.0}})
    one, two = ({b.rule: b for b in rules.filter.bounds}["gopher.min_mean_word_length"] for rules in (plain, some))
    assert [one.limit_for(code) for code in ("de", "fr", "xx")] == [2, 2, 2]
    assert [two.limit_for(code) for code in ("de", "fr", "xx")] == [4, 2, 3]


def test_limits_by_language_are_compared_row_by_row() -> None:
    bound = Bound(rule="r", signal="s", at_least=5, by_language={"de": 2, "fr": 9})
    values = pa.chunked_array([[3.0, 3.0, 3.0, 9.0, None]])
    languages = pa.chunked_array([pa.array(["de", "en", None, "fr", "de"]).dictionary_encode()])
    assert bound.fails(values, languages).tolist() == [False, True, True, False, True]
    with pytest.raises(ValidationError):
        Bound(rule="r", signal="language", among=("de",), by_language={"de": 1})


def test_a_table_of_languages_beside_a_preset(tmp_path: Path) -> None:
    table = {"about": "two", "languages": {"de": {"stop_words": ["und"], "limits": {"my.words": 7}}}}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(table))
    rules = load(written(tmp_path, languages="two.yaml"))
    assert rules.bounds[0].by_language == {"de": 7}
    assert rules.measure.stop_words == {"de": ("und",)}
    table["languages"]["de"]["limits"] = {"my.word": 7}  # type: ignore[index]
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(table))
    with pytest.raises(RecipeError, match="no rule of this name"):
        load(written(tmp_path, languages="two.yaml"))
    with pytest.raises(RecipeError, match="unknown table"):
        load(written(tmp_path, languages="two"))
    with pytest.raises(RecipeError, match="there is no file"):
        load(written(tmp_path, languages="three.yaml"))


def test_a_recipe_asks_for_edits_of_its_own() -> None:
    pytest.importorskip("ftfy")
    rules = RulesSettings(preset="gopher", repair=True, language_of_lines=0.5)
    assert [e.rule for e in rules.measure.edits] == ["repair.encoding", "language.lines"]
    assert rules.measure.edits[1].limit == 50
    assert "ftfy" in rules.measure.libraries
    assert fingerprint(rules.measure) != fingerprint(RulesSettings(preset="gopher").measure)


def test_the_presets_in_the_guide_load(tmp_path: Path) -> None:
    guide = Path(__file__).parents[2] / "docs" / "rules.md"
    blocks = guide.read_text(encoding="utf-8").split("```yaml\n")[1:]
    presets = [block.partition("```")[0] for block in blocks if block.startswith("about:")]
    for preset, edits in zip(presets, (0, 3), strict=True):
        (tmp_path / "ours.yaml").write_text(preset)
        assert len(load(str(tmp_path / "ours.yaml")).measure.edits) == edits
    recipe = yaml.load(blocks[0].partition("```")[0], yaml.BaseLoader)["sources"]["web"]["rules"]
    assert RulesSettings(**recipe).filter.bounds


def test_lists_of_words_are_looked_at_under_every_preset() -> None:
    for preset in ("fineweb", "none", "gopher"):
        rules = RulesSettings(preset=preset, word_lists={"en": "words.txt"})
        assert rules.measure.points[-1].families == ("listed_words",)
        assert [bound.limit for bound in rules.filter.bounds if bound.rule == "words.listed"] == [0]
    c4 = RulesSettings(preset="c4", word_lists={"en": "words.txt"})  # has a rule of its own
    assert "words.listed" not in {bound.rule for bound in c4.filter.bounds}


def test_a_folder_of_words_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(?s)is a folder.*/en"):
        assert RulesSettings(preset="fineweb", word_lists={"en": str(tmp_path)}).files


@pytest.mark.parametrize("preset", ["gopher", "c4", "fineweb", "refinedweb", "dclm"])
def test_languages_without_spaces_are_refused_where_spaces_divide_words(preset: str) -> None:
    with pytest.raises(RecipeError, match=r"(?s)ja, zh is written without spaces.*fineweb2"):
        RulesSettings(preset=preset, bounds={"language.accepted": ("en", "zh", "ja")})
    RulesSettings(preset="fineweb2", bounds={"language.accepted": ("zh", "ja")})
