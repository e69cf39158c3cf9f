"""What training would refuse, as far as it is known before the first stage: said then, not after hours of data work.

A finished training needs none of it, so it is asked only where there is one to do.
"""

from __future__ import annotations

from firn.core.errors import RecipeError
from firn.core.inputs import external
from firn.core.store import Manifest, Store
from firn.plan.rates import is_expected
from firn.run.recipe import Recipe
from firn.run.starting import Beginning
from firn.tokens.tokenizer import load
from firn.train.loggers import check_packages
from firn.train.runtime import choose


def refuse(recipe: Recipe, begin: Beginning, store: Store, tokenizer: Manifest) -> None:
    """Raises RecipeError for a precision that this machine lacks, a package that is not installed, and a tokenizer that
    does not fit the model. tokenizer: the recipe's, which may be an expected one."""
    choose(recipe.train.precision)
    check_packages(recipe.watch)
    _check_vocabulary(recipe, begin)
    if is_expected(tokenizer):
        # One that is trained anew on other documents, or with other settings, is never the same.
        if begin.tokenizer is not None and recipe.tokenizer.file is None:
            raise begin.wrong_tokenizer()
    else:
        begin.check(load(store.local(tokenizer, "tokenizer")))


def _check_vocabulary(recipe: Recipe, begin: Beginning) -> None:
    """Raises RecipeError where the model has another size of the vocabulary than the tokenizer will have; a model that
    training begins from may have more rows."""
    size, file = begin.shape.vocab_size, recipe.tokenizer.file
    wanted = recipe.tokenizer.vocab_size if file is None else load(external(file).local()).vocab_size
    if begin.start is not None:
        if file is not None and size < wanted:
            raise RecipeError(
                f"the tokenizer has {wanted:,} tokens, the model that training begins from {size:,}",
                key="tokenizer.file",
                mend="take out the tokens that were added to it, or begin from a model with a larger table",
            )
    elif size not in (0, wanted):
        raise RecipeError(
            f"the model has {size:,} token ids, the tokenizer {wanted:,}",
            key="model.vocab_size",
            mend="leave model.vocab_size out: it is taken from the tokenizer",
        )
