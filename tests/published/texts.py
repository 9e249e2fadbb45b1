"""What the tokenizers are trained on and tried with: scripts, accents, spaces, and special tokens inside of text."""

from __future__ import annotations

CORPUS = [
    "How many people live in Berlin? Berlin had a population of 3,520,031 registered inhabitants in 2016.",
    "The quick brown fox jumps over the lazy dog; THE QUICK BROWN FOX, again and again.",
    "Żółta łódka płynie po jeziorze. Zażółć gęślą jaźń, a potem idź do domu, Łukaszu!",
    "Où est le café près de l'hôtel? Élève-toi, naïve façade, garçon déjà reçu.",
    "Straße, Äpfel, Öl und Übermut: groß und GROSS sind nicht dasselbe.",
    "東京は日本の首都です。東京タワーはどこにありますか？ガラスのコップ、が、ぱ、ﾊﾟ。",
    "北京是中华人民共和国的首都。我喜欢吃苹果和香蕉，你呢？",
    "서울은 대한민국의 수도입니다. Москва — столица России. Ёлка и еж.",
    "def main(argument): return {'key': [1, 2, 3], \"x\": None}  # a comment\n\tindented = True",
    "It's what they'll say: we've done it, don't you think? I'm sure she'd agree.",
    "e-mail user@example.com or see https://example.com/a/b?c=d&e=f#g for 50% off €20 £30 ½ ™ ﬁ",
]

TEXTS = [
    "How many people live in Berlin?",
    " leading space and trailing space ",
    "  two   inner\tspaces\nand\r\nlines  ",
    "Zażółć gęślą jaźń ŁÓDKA łódka",
    "Élève naïve CAFÉ cafe\u0301 Straße STRASSE ÄPFEL",
    "東京は日本の首都です。ガラス ﾊﾟ が か\u3099 ＡＢＣ　全角",
    "北京是中华人民共和国的首都",
    "서울은 Москва Ёлка ё",
    "don't it's we'll I'm 3,520,031 50% €20 ½ ﬁ ™",
    "a<mask>b <mask> [MASK] x[SEP]y </s> <s> [CLS] <pad> <unk>z",
    "<|endoftext|> <extra_id_0> <eos> <bos> <sep> <cls> new_word <new> ##ing @@",
    "",
    " ",
    "a\u200bb\u00a0c\u2028d\ufeffe \x00\x07f 😀👍🏽",
    "x" * 70 + " y",
    "İstanbul ΣΟΦΟΣ ǅ ﷺ",
]

PAIRS = [
    ("How many people live in Berlin?", "Berlin had a population of 3,520,031 registered inhabitants."),
    ("東京タワーはどこ？", " 東京タワーは東京にあります。"),
    ("", "Łódź"),
    ("Zażółć", ""),
    ("x [SEP] y", "a <mask> b</s>"),
]
