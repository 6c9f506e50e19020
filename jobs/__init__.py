"""Entry points: the command line, and one thin module per job."""

from wavemill.jobs.threads import decide_threads

decide_threads()  # before any of the libraries is loaded that read it
