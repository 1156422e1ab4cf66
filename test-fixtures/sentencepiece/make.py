"""Makes cases.json: a small SentencePiece vocabulary (BPE with byte fallback, as Llama 2's) and what it makes of texts.

    pip install sentencepiece==0.2.2 && python3 make.py cases.json
"""

import io
import json
import sys

import sentencepiece

CORPUS = """
The quick brown fox jumps over the lazy dog. The lazy dog sleeps; the fox does not.
A tokenizer cuts text into pieces, and the pieces come back together as the same text.
Numbers such as 12, 123 and 2024 are cut into digits. It's what the other tokenizer does, isn't it?
Der schnelle braune Fuchs springt über den faulen Hund. Größe und Länge sind nicht dasselbe.
def add(a, b):
    return a + b
"""
TEXTS = [
    "The quick brown fox",
    " leading and  double   spaces ",
    "tokenizer's pieces\nand a second line",
    "Grüße über Länge",
    "12345 + 67 = 12412",
    "\u65e5\u672c\u8a9e and \U0001f600",
    "",
    " ",
    "def add(a, b):\n    return a + b\n",
    "theThe thethe",
]

model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(CORPUS.strip().split("\n") * 3),
    model_writer=model,
    vocab_size=420,
    model_type="bpe",
    byte_fallback=True,
    split_digits=True,
    normalization_rule_name="identity",
    remove_extra_whitespaces=False,
    allow_whitespace_only_pieces=True,
    character_coverage=1.0,
    hard_vocab_limit=False,
)
tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def kind(i):
    if tokenizer.is_unknown(i):
        return 2
    if tokenizer.is_control(i):
        return 3
    return 6 if tokenizer.is_byte(i) else 1


size = tokenizer.get_piece_size()
cases = {
    "tokens": [tokenizer.id_to_piece(i) for i in range(size)],
    "scores": [tokenizer.get_score(i) for i in range(size)],
    "kinds": [kind(i) for i in range(size)],
    "texts": [{"text": text, "ids": tokenizer.encode(text)} for text in TEXTS],
}
with open(sys.argv[1], "w", encoding="utf8") as file:
    json.dump(cases, file, ensure_ascii=False, indent=0)
    file.write("\n")
