"""What Hypothesis draws from."""

from hypothesis import strategies as st

# All but surrogates, as text() has it; by its codec they take seconds to find in a new checkout.
CHARACTERS = st.characters(exclude_categories=["Cs"])
