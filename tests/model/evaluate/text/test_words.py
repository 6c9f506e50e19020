"""Tokens of mode default, and where they differ from the published ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("opencc", reason="the extra `evaluate` is not installed")

from wavemill.model.evaluate.text.mandarin import by_digit, by_value
from wavemill.model.evaluate.text.published import tokens
from wavemill.model.evaluate.text.words import (
    BY_CHARACTER,
    rate_name,
    unify_numbers,
    value_of,
    words,
)

SAME = [  # language, two spellings of what was said
    ("en", "It's twenty-one °, isn't it?", "it is 21 is not it"),
    ("en", "I cannot go", "I can't go"),
    ("en", "minus ten degrees", "-10 degrees"),
    ("en", "plus four", "+4"),
    ("en", "sixty cents", "60¢"),
    ("en", "9 % of it", "nine percent of it"),
    ("en", "That’s “fine”", "that's fine"),
    ("en", "3 + 4 = 7", "three plus four equals seven"),
    ("zh", "他有两只狗", "他有2只狗。"),
    ("zh", "零下 -8度", "零下负八度"),
    ("zh", "一万两千三百", "12300"),
    ("zh", "一亿零五十万", "1.005亿"),
    ("zh", "百分之三点五", "3.5%"),
    ("zh", "百分之百", "100%"),
    ("zh", "四分之一", "1/4"),
    ("zh", "三点十五分", "3:15"),
    ("zh", "二十三摄氏度", "23℃"),
    ("zh", "一共七十元", "一共￥70"),
    ("zh", "臺北的天氣", "台北的天气"),
    ("zh", "Ｗｉｆｉ 密码", "wifi密码"),
    ("zh", "他在 G O O G L E 工作", "他在google工作"),
    ("zh", "幺幺九", "119"),
    ("zh", "一百五", "150"),
    ("yue", "佢有三十蚊", "佢有30蚊"),
    ("de", "Der Fuß ist groß", "der fuss ist gross"),
    ("fr", "un œuf", "un oeuf"),
    ("ru", "Ёжик пьёт", "ежик пьет"),
    ("tr", "IŞIK İLE", "ışık ile"),
    ("ar", "كِتَاب", "كتاب"),
    ("it", "[musica] Ciao (ride)", "ciao"),
]
DIFFERENT = [
    ("en", "minus ten degrees", "10 degrees"),
    ("en", "twenty dollars and fifty cents", "2050 dollars"),
    ("zh", "open the door", "open door"),
    ("zh", "女儿", "女"),
    ("zh", "嗯好的", "好的"),
    ("hi", "की", "का"),
    ("th", "ครับ", "ค่ะ"),
]


@pytest.mark.parametrize(("language", "one", "other"), SAME)
def test_spellings_of_the_same_words(language: str, one: str, other: str) -> None:
    assert words(one, language) == words(other, language) != []


@pytest.mark.parametrize(("language", "one", "other"), DIFFERENT)
def test_different_words_stay_different(language: str, one: str, other: str) -> None:
    assert words(one, language) != words(other, language)


def test_english_words_do_not_melt_together_in_chinese_text() -> None:
    said = "请 open the door 谢谢"
    assert words(said, "zh") == ["请", "open", "the", "door", "谢", "谢"]
    assert tokens(said, "zh") == ["请", "openthedoor", "谢", "谢"]


def test_amounts_are_one_token_in_english() -> None:
    assert words("It cost $20.50.", "en") == ["it", "cost", "$20.50"]
    assert tokens("It cost $20.50.", "en") == ["it", "cost", "20", "50"]


def test_kana_are_characters() -> None:
    assert words("カメラです", "ja") == list("カメラです")
    assert tokens("カメラです", "ja") == ["カメラです"]
    assert {rate_name(one) for one in BY_CHARACTER} == {"cer"}
    assert rate_name("ko") == rate_name("en") == "wer"


@pytest.mark.parametrize(
    ("text", "unified"),
    [
        ("万一下雨", "万一下雨"),
        ("千万别去", "千万别去"),
        ("一二十个", "一二十个"),
        ("三千零二十", "3020"),
        ("二零零八年", "2008年"),
        ("十", "10"),
        ("第十二", "第12"),
        ("五百万", "500万"),
        ("三点半", "3点半"),
    ],
)
def test_numbers_in_chinese(text: str, unified: str) -> None:
    assert unify_numbers(text) == unified


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**11))
def test_a_number_read_aloud_has_its_value(number: int) -> None:
    said = by_value(str(number))
    read = value_of(said) if number > 9 else int(unify_numbers(said))
    assert read == number
    assert unify_numbers(f"共{said}个") == unify_numbers(f"共{number}个")
    assert unify_numbers(by_digit(str(number))) == unify_numbers(str(number))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30), st.sampled_from(["en", "zh", "yue", "ja", "ar", "de", "tr"]))
def test_any_text_has_tokens_without_blanks(text: str, language: str) -> None:
    for cut in (words, tokens):
        assert all(token and not token.isspace() for token in cut(text, language))
