//! The nouns of Tidegate: spec, orders, observation, ledger records, decision, conditions.
