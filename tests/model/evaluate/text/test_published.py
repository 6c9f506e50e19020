"""The published way, on sentences of our own, so that a bare clone notices a change."""

from __future__ import annotations

import pytest

pytest.importorskip("opencc", reason="the extra `evaluate` is not installed")

from wavemill.model.evaluate.text.mandarin import normalize_mandarin
from wavemill.model.evaluate.text.published import clean, published_tokens, tokens


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("我有3个", "我有三个"),
        ("2018年7月4号", "二零一八年七月四号"),
        ("共2018人", "共二零一八人"),
        ("45%的人", "百分之四十五的人"),
        ("3/5", "五分之三"),
        ("花了36.5元", "花了三十六点五元"),
        ("打13712345678吧", "打一三七一二三四五六七八吧"),
        ("拨010-87654321。", "拨零一零八七六五四三二一 "),
        ("C2C电商", "C2C电商"),
        ("220个", "两百二十个"),
        ("1005张", "一千零五张"),
        ("10月", "十月"),
        ("000", ""),
        ("-3度", " 三度"),
    ],
)
def test_mandarin(text: str, normal: str) -> None:
    assert normalize_mandarin(text) == normal


def test_a_rule_replaces_the_first_place_with_the_same_characters() -> None:
    assert normalize_mandarin("1234和34个") == "十二三十四和三十四个"


def test_clean_up() -> None:
    assert clean("<|zh|> 早 上 , 好", "zh") == "早上,好"
    assert clean("<|en|> so , yes  !", "en") == "so, yes!"


def test_tokens() -> None:
    assert published_tokens("Ok 你好, 5-6 it's 1.5!") == [
        *("ok", "你", "好", "5", "6", "it's", "1.5")
    ]


@pytest.mark.parametrize(
    ("text", "language", "cut"),
    [
        ("Dr. Brown won't pay £3", "en", "doctor brown will not pay 3"),
        ("我說 hello world", "zh", "我 說 helloworld"),
        ("我哋去睇戲", "yue", "我 哋 去 睇 戏"),
        ("Où es-tu (rires) ?", "fr", "où es tu"),
        ("カタカナ東京", "ja", "カタカナ 東 京"),
    ],
)
def test_utterances(text: str, language: str, cut: str) -> None:
    assert tokens(text, language) == cut.split()
