//! Thousands of requests through a server that fails at random.
