"""The validation experiments of the DBlink paper, simulated from camera frames on, where the truth is known.

    python -m benchmarks.validation all --quick     # or one of: filaments drift rotation live mitochondria static
    python -m benchmarks.validation drift --full --docs docs

Structure -> blinking -> point spread function -> camera -> localizer -> network; nothing is handed on but camera
frames. One module per experiment; each prints a table, writes it into docs/explanation/validation.md, and draws a
figure; `live` makes a movie, too.
"""
