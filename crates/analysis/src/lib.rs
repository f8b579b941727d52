//! Verdicts on green against blue from closed CloudWatch minutes.
