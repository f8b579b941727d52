//! A simulated AWS that behaves: world rules, wire protocols, live processes and load balancer.
