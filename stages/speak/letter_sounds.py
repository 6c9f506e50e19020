"""Letter-to-sound rules for English words that no lexicon has, in the phonemes of the lexicons.

A word is read from left to right; at each place the first rule counts whose letters stand there
and whose surroundings fit. Written for this project; the letters of Misaki's alphabet are
A (day), I (my), W (how), O (go), Y (boy), and IPA.
"""

from __future__ import annotations

import re
from functools import cache

VOWELS = "AIOWYiuæɑɐɔəɛɜɪʊʌᵊᵻ"

# (letters, sounds); `^` is the beginning of the word, `$` its end, [...] what follows or precedes.
_RULES = """
^kn=n ^gn=n ^pn=n ^ps=s ^wr=ɹ ^x=z ^wh=w ^rh=ɹ
tion$=ʃən tions$=ʃənz sion$=ʒən ssion=ʃən cious$=ʃəs tious$=ʃəs cial=ʃəl tial=ʃəl ture$=ʧəɹ
ough$=O ought=ɔt augh=ɔ igh=I eigh=A
ing$=ɪŋ ings$=ɪŋz ism$=ɪzəm isms$=ɪzəmz ology=ˈɑləʤi ography=ˈɑɡɹəfi ness$=nəs less$=ləs ful$=fəl
ment$=mənt able$=əbᵊl ible$=əbᵊl ous$=əs ally$=əli ly$=li ity$=əTi ies$=iz ied$=id
tch=ʧ dge=ʤ sch=ʃ ch=ʧ sh=ʃ ph=f th=θ gh= ck=k qu=kw ng=ŋ nk=ŋk wh=w
sc(?=[eiy])=s cc(?=[eiy])=ks c(?=[eiy])=s c=k
gg=ɡ g(?=[eiy])=ʤ ge$=ʤ g=ɡ
air=ɛɹ are$=ɛɹ ear=ɪɹ eer=ɪɹ oar=ɔɹ oor=ɔɹ our=ɔɹ ore$=ɔɹ ire$=Iəɹ ure$=jʊɹ
ai=A ay=A au=ɔ aw=ɔ ea=i ee=i ei=A ey$=i ey=A eu=ju ew=u ie$=I ie=i oa=O oe$=O oi=Y oy=Y
oo=u ou=W ow$=O ow=W ue$=u ui=u
ar=ɑɹ er=əɹ ir=ɜɹ or=ɔɹ ur=ɜɹ yr=ɪɹ
a(?=[bcdfghjklmnpqrstvwxz]e$)=A e(?=[bcdfghjklmnpqrstvwxz]e$)=i i(?=[bcdfghjklmnpqrstvwxz]e$)=I
o(?=[bcdfghjklmnpqrstvwxz]e$)=O u(?=[bcdfghjklmnpqrstvwxz]e$)=u y(?=[bcdfghjklmnpqrstvwxz]e$)=I
a(?=[bcdfghjklmnpqrstvwxz]es$)=A i(?=[bcdfghjklmnpqrstvwxz]es$)=I o(?=[bcdfghjklmnpqrstvwxz]es$)=O
le$=ᵊl les$=ᵊlz ed$=d es$=z e$=
^a$=A ^i$=I a$=ə i$=i o$=O u$=u y$=i ^y=j
a=æ e=ɛ i=ɪ o=ɑ u=ʌ y=ɪ
bb=b dd=d ff=f kk=k ll=l mm=m nn=n pp=p rr=ɹ ss=s tt=t zz=z vv=v
b=b d=d f=f h=h j=ʤ k=k l=l m=m n=n p=p q=k r=ɹ s=s t=t v=v w=w x=ks z=z
"""


@cache
def _compiled() -> list[tuple[re.Pattern[str], str]]:
    rules = []
    for rule in _RULES.split():
        letters, _, sounds = rule.rpartition("=") if not rule.endswith("=") else (rule[:-1], "", "")
        rules.append((re.compile(letters.replace("^", r"\A").replace("$", r"\Z")), sounds))
    return rules


def letter_sounds(word: str) -> str:
    """Return the phonemes of a word in small letters a to z; the first vowel is stressed."""
    sounds, at = "", 0
    while at < len(word):
        for letters, made in _compiled():
            found = letters.match(word, at)
            if found:
                sounds += made
                at = max(found.end(), at + 1)
                break
        else:
            at += 1
    return stressed(sounds)


def stressed(sounds: str) -> str:
    """Put the main stress before the first vowel, where there is none yet."""
    if "ˈ" in sounds:
        return sounds
    for at, sound in enumerate(sounds):
        if sound in VOWELS and not (sound in "əᵊᵻ" and any(s in VOWELS for s in sounds[at + 1 :])):
            return f"{sounds[:at]}ˈ{sounds[at:]}"
    return sounds
