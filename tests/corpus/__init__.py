"""The corpus: some hundred small files with what must become of each. ``python -m corpus FOLDER`` writes them out.

Nothing of it lies in the repository: :mod:`corpus.formats` makes the files, :mod:`corpus.cases` says what they are.
"""
