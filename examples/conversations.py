"""Who says what in the example recordings: the cast, the texts, and what is done to the sound.

The texts were written for this project. Each sentence is synthesised on its own and is one turn
of the truth, so a turn ends where its sentence ends, not where the speaker changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Voice:
    """A speaker: a synthesis voice, and how far its vocal tract is shortened.

    `warp` multiplies pitch and formants alike; the speaking rate stays. 1.2 turns a man's voice
    into one that passes for a woman's, and a recogniser still understands it.
    """

    engine: Literal["flite", "espeak-ng"]
    name: str
    warp: float = 1.0


CAST: dict[str, Voice] = {
    "anna": Voice("flite", "slt"),
    "ben": Voice("flite", "rms"),
    "carl": Voice("flite", "kal16"),
    "dan": Voice("flite", "awb"),
    "eva": Voice("flite", "awb", warp=1.2),
    "fay": Voice("flite", "rms", warp=1.2),
    "gwen": Voice("espeak-ng", "en-us+f2"),
}


@dataclass(frozen=True)
class Line:
    """What one speaker says before the next one does."""

    speaker: str
    text: str  # sentences, each ending in a full stop or a question mark
    pause: float = 0.7  # seconds of silence before it; negative: it interrupts


@dataclass(frozen=True)
class Scene:
    """One recording. Levels are in decibels: relative to full scale, beds relative to speech."""

    name: str  # file name without ending
    sample_rate: int = 16_000  # Hz
    lines: tuple[Line, ...] = ()
    seconds: float = 0.0  # length of a scene without lines
    level: float = -30.0  # RMS of active speech (of the bed where nobody speaks), dBFS
    noise: float | None = None  # pink noise, dB relative to speech
    hum: float | None = None  # 50 Hz and harmonics, dB relative to speech
    music: float | None = None  # chords and a bass, dB relative to speech
    reverberation: float | None = None  # time to decay by 60 dB, seconds
    overdrive: float | None = None  # gain into a hard limit at full scale, dB
    telephone: bool = False  # 300 to 3400 Hz, mu-law
    channel_of: tuple[str, ...] = ()  # the speaker of each channel; empty: mono


SCENES: tuple[Scene, ...] = (
    Scene(
        "clean_dialogue",
        lines=(
            Line("anna", "Good morning. Did you find the key to the garden gate yesterday?"),
            Line("ben", "Yes, it was under the old chair by the kitchen door."),
            Line("ben", "I put it back on the wall where it belongs.", pause=0.4),
            Line("anna", "That is good news. The grass has grown so high this summer."),
            Line("anna", "We need to cut it before my parents come on Sunday.", pause=0.4),
            Line("ben", "How long will they stay with us?", pause=1.1),
            Line("anna", "Only three days. My father has to be at work on Wednesday.", pause=0.5),
            Line("ben", "Then we could take them to the lake on Monday.", pause=0.8),
            Line("ben", "The water is still warm, and the little boats are cheap.", pause=0.4),
            Line(
                "anna", "I like that idea very much. I will call my mother this evening.", pause=2.6
            ),
            Line("ben", "Please tell her to bring her big hat and good shoes."),
        ),
    ),
    Scene(
        "street_noise",
        noise=-18.0,
        lines=(
            Line("carl", "Excuse me, which bus goes to the central market?"),
            Line("fay", "You want number seven. It stops across the street, next to the bank."),
            Line("carl", "Thank you. Do you know how often it comes?"),
            Line("fay", "Every ten minutes in the morning, but later you may have to wait."),
            Line("carl", "I have a heavy box with me. Is there room for it on the bus?", pause=1.0),
            Line("fay", "There is a wide space near the back door. Nobody will mind.", pause=0.6),
            Line("carl", "What a relief. I am bringing apples to sell for my brother.", pause=2.4),
            Line("fay", "Then I will come and buy some. Here is your bus now.", pause=0.6),
        ),
    ),
    Scene(
        "radio_with_music",
        sample_rate=44_100,
        music=-21.0,
        lines=(
            Line("dan", "Welcome back to the evening program.", pause=1.5),
            Line("dan", "Tonight we talk about people who make their own bread.", pause=0.4),
            Line("anna", "Thank you for having me. I started to bake during a long winter."),
            Line("anna", "The road was closed, and the shops were far away.", pause=0.4),
            Line("dan", "What was the first thing that you learned?"),
            Line(
                "anna", "You must give it time. Good bread needs a whole night of rest.", pause=0.5
            ),
            Line("dan", "And what do you tell a person who has never tried?", pause=2.3),
            Line("anna", "Use simple flour, a little salt, and do not be afraid of mistakes."),
        ),
    ),
    Scene(
        "meeting_room",
        reverberation=0.45,
        noise=-38.0,
        lines=(
            Line("ben", "Let us begin. We have three points to discuss this afternoon."),
            Line("ben", "The first one is the new building on the north side.", pause=0.4),
            Line("anna", "The workers finished the roof last week. The windows come on Friday."),
            Line("carl", "Are we still inside the budget?", pause=0.5),
            Line("anna", "Yes, but only just. The price of wood went up again in the spring."),
            Line("ben", "Then we should buy everything that we need this month.", pause=1.2),
            Line("carl", "I agree with that. I can write to the company today.", pause=0.5),
            Line("anna", "Please ask them about the doors as well.", pause=0.5),
            Line("ben", "Good. The second point is the party for the children.", pause=2.7),
            Line(
                "carl", "We found a place near the river. It has a large field and a small stage."
            ),
            Line("anna", "My cousin plays the piano. She would be happy to help us.", pause=0.6),
        ),
    ),
    Scene(
        "clipped_voices",
        level=-27.0,
        overdrive=20.0,
        noise=-40.0,
        lines=(
            Line("dan", "Can you hear me at the back of the hall?"),
            Line("fay", "We hear you very well. Perhaps you stand too close to the machine."),
            Line("dan", "I see. I will take one step away from it.", pause=0.9),
            Line("fay", "Now read the first page again, but a little slower this time."),
            Line("dan", "The captain looked at the dark sky and turned the ship around."),
        ),
    ),
    Scene(
        "low_level_with_hum",
        level=-52.0,
        hum=-16.0,
        noise=-30.0,
        lines=(
            Line("eva", "The baby is asleep, so we have to speak softly."),
            Line("ben", "All right. Did the doctor say anything about the fever?"),
            Line("eva", "She said that it will be gone by tomorrow.", pause=0.6),
            Line("eva", "He should drink a lot of water and stay in bed.", pause=0.4),
            Line("ben", "I can sit with him tonight. You look very tired.", pause=1.0),
            Line("eva", "That would be kind. I have not closed my eyes since Tuesday.", pause=0.8),
        ),
    ),
    Scene(
        "stereo_call",
        channel_of=("anna", "carl"),
        noise=-42.0,
        lines=(
            Line("anna", "Hello, this is the front desk. How can I help you?"),
            Line("carl", "Hello. I would like to change the date of my visit."),
            Line("anna", "Of course. May I have your name and the room number?", pause=0.5),
            Line("carl", "My name is Carl Hill, and the room is number twelve.", pause=0.8),
            Line("anna", "Thank you. I see that you wanted to arrive on Thursday.", pause=1.1),
            Line("carl", "Yes, that is right.", pause=-0.35),
            Line("carl", "But now I have to stay at home until the weekend.", pause=0.4),
            Line(
                "anna", "We have a quiet room from Saturday on. It looks over the park.", pause=0.9
            ),
            Line("carl", "Perfect. I will take it for two nights.", pause=0.6),
        ),
    ),
    Scene(
        "telephone_line",
        sample_rate=8_000,
        telephone=True,
        noise=-32.0,
        lines=(
            Line("ben", "Good evening. I am calling about the blue bicycle in the paper."),
            Line("gwen", "Yes, it is still here. You can come and look at it."),
            Line("ben", "How old is it, and are the tires in good shape?", pause=0.8),
            Line("gwen", "It is five years old. My son put on new tires in the spring.", pause=0.6),
            Line("ben", "That sounds fair to me. I could be there in half an hour.", pause=0.9),
            Line("ben", "Which street do you live on?", pause=0.4),
            Line("gwen", "It is the white house at the end of Mill Road.", pause=0.7),
        ),
    ),
    Scene("music_and_rain", sample_rate=48_000, seconds=15.0, level=-34.0, music=0.0, noise=-16.0),
)
