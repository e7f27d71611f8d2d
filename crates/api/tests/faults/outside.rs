//! What the environment decides: certificates and proxies.
