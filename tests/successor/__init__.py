"""A second model, for runs of several: its folders as they are put into a project of a test.

They are not named claims/ and models/ here, or its claims would be judged with the tests.
"""
