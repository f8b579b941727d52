//! Live mode: real processes, a real balancer, real databases.
