"""A model's words: generation from a run or from a Hugging Face folder."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from firn.core.errors import InputError
from firn.model.build import load
from firn.model.encoder import Encoder
from firn.model.generate import generate
from firn.model.transformer import Transformer
from firn.run.folder import RunFolder
from firn.tokens.tokenizer import Tokenizer


class Writer:
    """A model with its tokenizer."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer):
        self.model, self.tokenizer = model, tokenizer

    @classmethod
    def open(cls, name: str | Path, runs: str | Path = "runs") -> Writer:
        """The model of a run (by name or folder), or of a Hugging Face folder with a tokenizer.json.

        Raises InputError where there is none, FormatError where it cannot be read.
        """
        folder = Path(name)
        if not (folder / "config.json").is_file():
            folder = model_folder(RunFolder.open(name, runs))
        file = folder / "tokenizer.json"
        try:
            data = file.read_bytes()
        except OSError as error:
            raise InputError(
                f"cannot be read: {error.strerror}", where=str(file), mend="put the model's tokenizer.json there"
            ) from error
        model = load(folder)
        if isinstance(model, Encoder):
            raise InputError(
                "the model is an encoder: it fills in hidden tokens and does not go on from a text",
                where=str(folder),
                mend="name a decoder, or open it with transformers.AutoModelForMaskedLM",
            )
        return cls(model, Tokenizer(data, str(file)))

    def write(
        self,
        prompt: str,
        *,
        max_tokens: int = 200,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Iterator[str]:
        """What the model writes after `prompt`, piece by piece, until end-of-text or `max_tokens`.

        The prompt stands at the beginning of a document. The same seed gives the same text on the same machine.
        """
        # A character may be spread over several tokens; it comes when its last byte is there.
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        end = self.tokenizer.end_of_text
        tokens = generate(
            self.model,
            [end, *self.tokenizer.encode(prompt).tolist()],
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            stop={end},
            vocabulary=self.tokenizer.vocab_size,
        )
        for token in tokens:
            if piece := decoder.decode(self.tokenizer.decode_bytes([token])):
                yield piece
        if rest := decoder.decode(b"", final=True):
            yield rest


def model_folder(run: RunFolder) -> Path:
    """The Hugging Face folder of a run's last finished training. Raises InputError where there is none yet."""
    training = run.training
    if training is None or not (training / "model" / "config.json").is_file():
        raise InputError(
            "the run has no finished model yet",
            where=str(run.path),
            mend="run its recipe to the end; `firn status` says where it is",
        )
    return training / "model"
