"""What reads the tables that users have, and knows nothing of estimators.

``_frames`` makes one kind of table of pandas, polars and arrays, ``_columns`` says what a column of a file is, ``_ids``
how two columns of ids meet, ``_code_columns`` how code vectors travel with a column.
"""
