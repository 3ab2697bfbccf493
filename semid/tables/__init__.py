"""What reads the tables that users have, and knows nothing of estimators.

``_frames`` makes one kind of table of pandas, polars and arrays; of a file, ``_columns`` says which type a column of
text has, ``_parquet`` reads what has types already, ``_vectors`` makes one array of a column of vectors; ``_ids`` says
how two columns of ids meet, ``_histories`` how histories travel as a column.
"""
