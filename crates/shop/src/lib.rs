//! The story's application in four versions, and the customers who use it.
