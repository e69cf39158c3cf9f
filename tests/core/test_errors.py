"""Errors say where, what and how to mend it, and cross process borders whole."""

from __future__ import annotations

import pickle

import pytest

from firn.core import errors
from firn.core.errors import FirnError, RecipeError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, FirnError)]


def test_the_message_names_place_key_and_mend() -> None:
    error = RecipeError("unknown key", where="my.yaml", key="train.stepz", mend="did you mean train.steps?")
    assert str(error) == "my.yaml: train.stepz: unknown key\n  mend: did you mean train.steps?"
    assert str(FirnError("no space left")) == "no space left"


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_pickling(kind: type[FirnError]) -> None:
    error = kind("unreadable", where="a.warc", key="paths", mend="fetch it again")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert copy.exit_code == error.exit_code


def test_a_wrong_recipe_exits_with_2_as_a_wrong_option_does() -> None:
    assert RecipeError("unknown key").exit_code == 2
    assert FirnError("anything else").exit_code == 1
