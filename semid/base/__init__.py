"""What makes an estimator, and knows nothing of tables, codes or clicks.

``_checks`` says what is wrong with an argument, ``_all_or_nothing`` lets a fit happen to a copy, ``_live_module`` keeps
the torch module beside the numpy state it is built from, ``_versioned`` writes the version into pickles.
"""
