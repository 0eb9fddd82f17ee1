"""A page that shows where the shipped BERT and GPT look: `python tools/attention_demo.py FILE`.

The site calls `write(path)`. It takes seconds and needs no network.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TITLE = "Where BERT and GPT look"
# Text -> what to look at in it.
FOR_BERT = {
    "The function returns a list, and it is sorted before it is printed.": (
        "Layer 0: heads 0 to 4 look at the token 1 before, 1 after, 2 before, 2 after and 3 "
        "before. Layer 2: all heads look at [SEP]."
    ),
    "If the file is not found, an error is raised.": (
        "The same heads do the same in another text: compare heads 0 to 4 of layer 0."
    ),
}
FOR_GPT = {
    "If the file does not exist, the function raises an error.": (
        "No token looks at what comes after it: the upper right half of the map is empty."
    ),
    "The first line is empty. The second line is empty. The first line": (
        "Layer 3, heads 1 and 2, last token: it looks most at “is”, which came after “line” "
        "before. So the model can copy what comes next."
    ),
}


def examples(
    name: str, model: Any, encode: Callable[[str], list[int]], vocab: Sequence, texts: dict
) -> Iterator[Any]:
    """An example for each text."""
    import torch

    from course_utils.explorers import AttentionExample

    for text, caption in texts.items():
        ids = encode(text)
        with torch.no_grad():
            weights = model.eval().attentions(torch.tensor([ids]))[0]
        tokens = [vocab[number] for number in ids]
        yield AttentionExample(weights, tokens, name=f"{name}: {text}", caption=caption)


def write(path: str | Path) -> str:
    """Make the page and write it to `path`; gives back its text."""
    from course_utils import pretrained
    from course_utils.explorers import attention_page
    from course_utils.files import data_path

    bert, gpt = data_path("checkpoints", "bert"), data_path("checkpoints", "gpt")
    words = pretrained.load_bert_tokenizer(bert)
    pieces = pretrained.load_gpt2_tokenizer(gpt)
    begin, end = (words.special_tokens[token] for token in ("[CLS]", "[SEP]"))
    both = [
        *examples("BERT", pretrained.load_bert(bert, new_heads=True),
                  lambda text: [begin, *words.encode(text), end], words.vocab, FOR_BERT),
        *examples("GPT", pretrained.load_gpt2(gpt), pieces.encode, pieces.vocab, FOR_GPT),
    ]  # fmt: skip
    return attention_page(both, title=TITLE, path=path)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("give the file to write: python tools/attention_demo.py build/attention.html")
    sys.path.insert(0, str(ROOT))
    print(f"{sys.argv[1]}: {len(write(sys.argv[1]).encode()) / 1e3:.0f} kB")
